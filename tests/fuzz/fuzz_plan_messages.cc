// Any message between a worker and its coordinator is refused, or says after conversion what it said before.
#include <cstdint>
#include <string>

#include "daemon/membership/conversion.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

// Converted to a struct and back, again and again, a message stays the same.
template <class Proto>
void Check(const std::string& bytes) {
  Proto proto;
  if (!proto.ParseFromString(bytes)) return;
  const auto converted = FromProto(proto);
  if (!converted.ok()) return;
  const Proto once = ToProto(*converted);
  const auto again = FromProto(once);
  HEARTH_CHECK(again.ok());
  HEARTH_CHECK(ToProto(*again).SerializeAsString() == once.SerializeAsString());
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    hearth::Check<hearth::v1::DesiredState>(bytes);
  } else {
    hearth::Check<hearth::v1::WorkerState>(bytes);
  }
  return 0;
}
