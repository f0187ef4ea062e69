#ifndef HEARTH_PLACEMENT_UNITS_H_
#define HEARTH_PLACEMENT_UNITS_H_

#include <cstdint>
#include <string>

namespace hearth::placement {

// "90 us", "4.10 ms", "2.50 s": three figures that a person can compare.
std::string FormatTime(double us);
// "512 B", "1.5 KiB", "3.1 GiB".
std::string FormatBytes(uint64_t bytes);
// "1 section", "32 sections".
std::string FormatCount(uint64_t count, const std::string& singular);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_UNITS_H_
