#include "daemon/etcd/etcd_address.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"

namespace hearth {
namespace {

constexpr absl::string_view kScheme = "etcd://";
constexpr absl::string_view kDefaultPrefix = "hearth";
constexpr size_t kMostEndpoints = 16;
constexpr size_t kMostPrefixBytes = 128;

bool IsPrefix(absl::string_view text) {
  return text.size() <= kMostPrefixBytes && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
         });
}

}  // namespace

absl::StatusOr<EtcdAddress> ParseEtcdAddress(absl::string_view text) {
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kScheme)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Printable(text), "\" is no store; write etcd://HOST:PORT[,HOST:PORT...][/PREFIX]"));
  }
  const size_t slash = rest.find('/');
  EtcdAddress address;
  for (const absl::string_view endpoint : absl::StrSplit(rest.substr(0, slash), ',')) {
    HEARTH_RETURN_IF_ERROR(CheckAddress(std::string(endpoint), 1));
    address.endpoints.emplace_back(endpoint);
  }
  if (address.endpoints.size() > kMostEndpoints) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMostEndpoints, " addresses of etcd"));
  }
  absl::string_view prefix = slash == absl::string_view::npos ? "" : rest.substr(slash + 1);
  absl::ConsumeSuffix(&prefix, "/");
  if (prefix.empty()) prefix = kDefaultPrefix;
  if (!IsPrefix(prefix)) {
    return absl::InvalidArgumentError(absl::StrCat("the prefix \"", Printable(prefix), "\" has other than ",
                                                   kMostPrefixBytes,
                                                   " letters, digits, '-', '_', '.' and '/' at most"));
  }
  address.prefix = absl::StrCat(prefix, "/");
  return address;
}

}  // namespace hearth
