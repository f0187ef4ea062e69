#ifndef HEARTH_CLIENT_LIBRARY_BYTES_TEXT_H_
#define HEARTH_CLIENT_LIBRARY_BYTES_TEXT_H_

#include <cstdint>
#include <string>

namespace hearth {

// "512 B", "1.5 GiB".
std::string BytesText(uint64_t bytes);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_BYTES_TEXT_H_
