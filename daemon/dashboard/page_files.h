#ifndef HEARTH_DAEMON_DASHBOARD_PAGE_FILES_H_
#define HEARTH_DAEMON_DASHBOARD_PAGE_FILES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace hearth {

// One of the page's files, which are part of the program.
struct PageFile {
  absl::string_view path;  // where browsers find it
  absl::string_view content_type;
  absl::string_view tag;  // another one when the bytes are others; with quotes, as an ETag
  absl::string_view bytes;
};

// Null where there is none.
const PageFile* FindPageFile(absl::string_view path);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_PAGE_FILES_H_
