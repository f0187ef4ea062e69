#ifndef HEARTH_TESTS_CUDA_EMU_LOCATION_H_
#define HEARTH_TESTS_CUDA_EMU_LOCATION_H_

namespace hearth::cuda_emu::internal {

// A place in a kernel's text. Stands for std::source_location, which C++17 does not have. As a default
// argument, Current() names the caller.
struct Location {
  const char* file = "";
  unsigned line = 0;
  const char* function = "";
  unsigned number = 0;  // tells places in one line apart where a macro counts them; else 0

  // The place of the call.
  static constexpr Location Current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE(),
                                    const char* function = __builtin_FUNCTION()) {
    return {file, line, function, 0};
  }
};

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_LOCATION_H_
