#ifndef HEARTH_TESTS_DAEMON_HTTP_TEST_HTTPS_H_
#define HEARTH_TESTS_DAEMON_HTTP_TEST_HTTPS_H_

#include <openssl/ssl.h>

#include <csignal>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/openssl_ptr.h"
#include "daemon/identity/tls_context.h"

namespace hearth {

// An authority with a server for 127.0.0.1 and a client that knows it.
struct TestHttps {
  TestHttps() {
    signal(SIGPIPE, SIG_IGN);  // a client that writes to a server that has gone
    const X509Ptr known = ReadX509(authority.certificate_pem);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client.get()), known.get());
  }

  const Authority authority = MakeAuthority(absl::Now());
  const std::string key = MakePrivateKey();
  const std::string certificate = IssueServerCertificate(authority, key, {}, absl::Now()).value();
  const TlsContext server = MakeServerTlsContext(certificate, key).value();
  const std::shared_ptr<SSL_CTX> client{SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_HTTP_TEST_HTTPS_H_
