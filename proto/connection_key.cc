#include "proto/connection_key.h"

namespace hearth {
namespace {

constexpr std::string_view kServerLine = "hearth-server: ";
constexpr std::string_view kCertificate = "CERTIFICATE";

// Takes the next PEM block of a kind, with its frame, from the front of `text`; empty where there is none.
std::string TakeBlock(std::string_view& text, std::string_view kind) {
  const std::string first = "-----BEGIN " + std::string(kind) + "-----";
  const std::string last = "-----END " + std::string(kind) + "-----";
  const size_t begin = text.find(first);
  if (begin == std::string_view::npos) return "";
  const size_t end = text.find(last, begin);
  if (end == std::string_view::npos) return "";
  std::string block(text.substr(begin, end + last.size() - begin));
  text.remove_prefix(end + last.size());
  return block + "\n";
}

std::string ServerOf(std::string_view file) {
  if (!file.starts_with(kServerLine)) return "";
  return std::string(file.substr(kServerLine.size(), file.find('\n') - kServerLine.size()));
}

}  // namespace

std::string FormatConnectionKey(const ConnectionKey& key) {
  const std::string server = key.server.empty() ? "" : std::string(kServerLine) + key.server + "\n";
  return server + key.private_key_pem + key.certificate_pem + key.authority_pem;
}

std::optional<ConnectionKey> ParseConnectionKey(std::string_view file) {
  ConnectionKey key;
  key.server = ServerOf(file);
  key.private_key_pem = TakeBlock(file, "PRIVATE KEY");
  key.certificate_pem = TakeBlock(file, kCertificate);
  key.authority_pem = TakeBlock(file, kCertificate);
  if (key.private_key_pem.empty() || key.certificate_pem.empty() || key.authority_pem.empty())
    return std::nullopt;
  return key;
}

}  // namespace hearth
