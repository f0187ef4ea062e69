#include "engine/base/sha256.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(Sha256Test, DigestsAreThoseOfTheStandardsExamples) {
  EXPECT_EQ(Sha256Hex(Sha256Of("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex(Sha256Of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(Sha256Of(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  std::vector<uint8_t> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  const absl::Span<const uint8_t> all(bytes);
  for (const size_t first : {0, 1, 63, 64, 65, 999, 1000}) {
    Sha256 sha;
    sha.Update(all.first(first));
    sha.Update(all.subspan(first));
    EXPECT_EQ(sha.Finish(), Sha256Of(all)) << first;
  }
}

}  // namespace
}  // namespace hearth
