#include "daemon/http/own_page.h"

#include <boost/asio/ip/address.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/channel/tcp_listener.h"

namespace hearth {
namespace {

namespace ip = boost::asio::ip;

// "[::1]:80" is "::1", "localhost:80" is "localhost".
absl::string_view WithoutPort(absl::string_view host) {
  const size_t closed = host.find(']');
  if (absl::StartsWith(host, "[") && closed != absl::string_view::npos) return host.substr(1, closed - 1);
  return host.substr(0, host.find(':'));
}

bool IsLocalhost(absl::string_view name) { return absl::EqualsIgnoreCase(name, "localhost"); }

std::optional<ip::address> AddressOf(absl::string_view name) {
  boost::system::error_code error;
  const ip::address address = ip::make_address(std::string(name), error);
  if (error) return std::nullopt;
  return address;
}

}  // namespace

bool IsAddressOrLocalhost(const std::string& host) {
  const absl::string_view name = WithoutPort(host);
  return IsLocalhost(name) || AddressOf(name).has_value();
}

bool IsLoopbackHost(const std::string& host) {
  const absl::string_view name = WithoutPort(host);
  if (IsLocalhost(name)) return true;
  const std::optional<ip::address> address = AddressOf(name);
  return address && IsLoopback(*address);
}

bool IsSameOrigin(const HttpRequest& request) {
  const size_t scheme = request.origin.find("://");
  return scheme != std::string::npos &&
         absl::EqualsIgnoreCase(absl::string_view(request.origin).substr(scheme + 3), request.host);
}

bool IsOwnPage(const HttpRequest& request) {
  if (request.role) return IsSameOrigin(request);
  return absl::EqualsIgnoreCase(request.origin, absl::StrCat("http://", request.host)) &&
         IsAddressOrLocalhost(request.host);
}

}  // namespace hearth
