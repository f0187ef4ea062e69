#ifndef HEARTH_ENGINE_BASE_PRINTABLE_H_
#define HEARTH_ENGINE_BASE_PRINTABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hearth {

// Texts that others wrote. Names and paths are checked at every entrance (flags, calls, messages of other
// hosts), so that they can be stored, compared and shown as they are; what was not checked is made printable
// at every exit (log, status, errors).

inline constexpr size_t kMaxNameBytes = 128;
inline constexpr size_t kMaxPathBytes = 4096;
// Of a text in words: an error, a state's detail. gRPC sends errors in its metadata, of which it takes 8 KiB,
// and writes a byte that is not ASCII as three.
inline constexpr size_t kMaxDetailBytes = 1024;

// Whether `name` can name a host, a device or a model: 1 to kMaxNameBytes bytes of UTF-8 that show as they
// are, no blank at either end. INVALID_ARGUMENT says what is wrong and begins with `what`, for example
// "--name".
absl::Status CheckName(absl::string_view what, absl::string_view name);
// Likewise for a path: 1 to kMaxPathBytes bytes, blanks anywhere.
absl::Status CheckPath(absl::string_view what, absl::string_view path);

// Whether all of `text` is UTF-8, as gRPC's messages need it.
bool IsUtf8(absl::string_view text);

// `text` in one line that a terminal shows as it is: control characters, marks that turn the direction of
// writing or show nothing, and bytes that are no UTF-8 are written as \n, \t, \xNN or \u{NNNN}. Longer than
// `max_bytes`: cut between two characters, "..." at the end.
std::string Printable(absl::string_view text, size_t max_bytes = kMaxDetailBytes);

// "a, b, c and 7 more": the names made printable, as many as an error message holds.
std::string NameList(const std::vector<std::string>& names);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_PRINTABLE_H_
