#ifndef HEARTH_CLIENT_LIBRARY_URL_H_
#define HEARTH_CLIENT_LIBRARY_URL_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hearth {

// Addresses on the web; all pure.

// INVALID_ARGUMENT, which begins with `what`, unless `url` is one of http or https, without a user's name or
// password (which would show in messages).
absl::Status CheckUrl(std::string_view what, const std::string& url);

// "https://host:443" of a URL that CheckUrl takes: who answers it.
std::string OriginOf(const std::string& url);

// As messages show it: printable, without what stands behind "?" or "#", which may be secret.
std::string ShownUrl(const std::string& url);

// The last name of the URL's path, decoded: "m.gguf" of "https://a/b/m%2Egguf?download=true". Not checked.
std::string LastNameOf(const std::string& url);

// The path, with what has a meaning in URLs but for slashes as %XX.
std::string EscapedPath(std::string_view path);

// Whether a redirect may be followed: to http and https alone, and not from https to http.
absl::Status CheckRedirect(const std::string& from, const std::string& to);

// Whether a file may have this name in the models directory: a name as CheckName takes it, without slashes,
// not beginning with a dot, and ending with ".gguf". The error begins with `what`.
absl::Status CheckModelFileName(std::string_view what, const std::string& name);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_URL_H_
