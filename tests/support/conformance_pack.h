#ifndef HEARTH_TESTS_SUPPORT_CONFORMANCE_PACK_H_
#define HEARTH_TESTS_SUPPORT_CONFORMANCE_PACK_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace hearth {

// The reference pack: HEARTH_CONFORMANCE_DIR, or ../shared/conformance beside the checkout (ctest runs the
// tests in the checkout). Tests skip in plain words where it is absent; see HEARTH_SKIP_WITHOUT_PACK.
inline std::filesystem::path ConformancePack() {
  const char* named = std::getenv("HEARTH_CONFORMANCE_DIR");
  return named != nullptr ? named : "../shared/conformance";
}

}  // namespace hearth

#define HEARTH_SKIP_WITHOUT_PACK()                                                   \
  do {                                                                               \
    if (!std::filesystem::is_directory(::hearth::ConformancePack())) {               \
      GTEST_SKIP() << "no reference pack at " << ::hearth::ConformancePack()         \
                   << "; set HEARTH_CONFORMANCE_DIR to its folder to run this test"; \
    }                                                                                \
  } while (false)

#endif  // HEARTH_TESTS_SUPPORT_CONFORMANCE_PACK_H_
