#include "daemon/http/https_files.h"

#include "absl/strings/str_cat.h"
#include "daemon/identity/openssl_ptr.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

absl::StatusOr<std::string> ReadPem(const char* flag, const std::string& path) {
  absl::StatusOr<std::string> pem = ReadInputFile(path, kMaxPemBytes);
  if (pem.ok()) return pem;
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", pem.status().message()));
}

}  // namespace

absl::StatusOr<TlsContext> ReadHttpsFiles(const std::string& certificate_path, const std::string& key_path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string certificates, ReadPem("--http-certificate", certificate_path));
  HEARTH_ASSIGN_OR_RETURN(const std::string key, ReadPem("--http-key", key_path));
  absl::StatusOr<TlsContext> context = MakeServerTlsContext(certificates, key);
  if (context.ok()) return context;
  return absl::InvalidArgumentError(absl::StrCat("--http-certificate ", Printable(certificate_path),
                                                 " and --http-key ", Printable(key_path), ": ",
                                                 context.status().message()));
}

}  // namespace hearth
