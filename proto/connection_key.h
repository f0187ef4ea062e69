#ifndef HEARTH_PROTO_CONNECTION_KEY_H_
#define HEARTH_PROTO_CONNECTION_KEY_H_

#include <optional>
#include <string>
#include <string_view>

namespace hearth {

// What one end of an encrypted connection of a home needs: a private key, the certificate that the home gave
// for it, and the home's authority, by which it knows the other end. All as PEM.
struct ConnectionKey {
  std::string private_key_pem;
  std::string certificate_pem;
  std::string authority_pem;
  std::string server;  // HOST:PORT of the coordinator's encrypted port

  // Without a key connections are neither encrypted nor checked.
  bool empty() const { return private_key_pem.empty(); }
};

// As one file: the three in this order, the server in a line before them. Other gRPC clients take the parts
// as they are: the authority as root certificates, and the host name kCoordinatorHostName in place of the
// server's own.
inline constexpr char kCoordinatorHostName[] = "coordinator.hearth";
std::string FormatConnectionKey(const ConnectionKey& key);
// nullopt where a part is missing.
std::optional<ConnectionKey> ParseConnectionKey(std::string_view file);

}  // namespace hearth

#endif  // HEARTH_PROTO_CONNECTION_KEY_H_
