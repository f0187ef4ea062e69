#include "daemon/channel/knock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/sha256.h"

namespace hearth {

std::string KnockOf(const SessionToken& token) {
  const absl::string_view secret(reinterpret_cast<const char*>(token.data()), token.size());
  return Sha256Hex(Sha256Of(absl::StrCat("hearth tensor port\n", secret))).substr(0, 32);
}

bool Knocks(absl::Span<const uint8_t> first_bytes, absl::string_view knock) {
  return std::search(first_bytes.begin(), first_bytes.end(), knock.begin(), knock.end()) != first_bytes.end();
}

}  // namespace hearth
