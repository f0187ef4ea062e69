#ifndef HEARTH_DAEMON_HTTP_HTTPS_FILES_H_
#define HEARTH_DAEMON_HTTP_HTTPS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/identity/tls_context.h"

namespace hearth {

// HTTPS with the certificates (the server's, then its issuers') and the private key of two PEM files.
// INVALID_ARGUMENT names the flag and the file and says what is wrong.
absl::StatusOr<TlsContext> ReadHttpsFiles(const std::string& certificate_path, const std::string& key_path);

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_HTTPS_FILES_H_
