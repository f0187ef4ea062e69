#ifndef HEARTH_ENGINE_BASE_SHA256_H_
#define HEARTH_ENGINE_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace hearth {

using Sha256Digest = std::array<uint8_t, 32>;

// SHA-256 of bytes that come in pieces. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  // The next bytes.
  void Update(absl::Span<const uint8_t> bytes);
  // The digest of all bytes so far; call once.
  Sha256Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Of bytes that are there at once.
Sha256Digest Sha256Of(absl::Span<const uint8_t> bytes);
Sha256Digest Sha256Of(absl::string_view text);

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(const Sha256Digest& digest);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_SHA256_H_
