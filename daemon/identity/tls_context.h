#ifndef HEARTH_DAEMON_IDENTITY_TLS_CONTEXT_H_
#define HEARTH_DAEMON_IDENTITY_TLS_CONTEXT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/live_key.h"

struct ssl_ctx_st;
struct ssl_st;

namespace hearth {

// Either end of TLS 1.3 connections between those of a home: each shows a certificate, and a handshake
// succeeds only where both are from the home's authority. What the other end may do is up to whoever asks
// PeerOf. Thread-safe.
using TlsContext = std::shared_ptr<ssl_ctx_st>;

// Each handshake shows the certificate that the key has by then. INVALID_ARGUMENT for a key that is damaged.
absl::StatusOr<TlsContext> MakeTlsContext(const LiveKey& key);
// For a caller that has no key yet and looks at the other end's certificates itself.
TlsContext MakeStrangersTlsContext();

// The server's end for browsers and programs, which show no certificate: TLS 1.2 or later. The first of the
// certificates is the key's, those behind it its issuers'. INVALID_ARGUMENT says what is wrong with which.
absl::StatusOr<TlsContext> MakeServerTlsContext(absl::string_view certificates_pem,
                                                absl::string_view key_pem);
// The same with the key, the certificate and the authority that `key` has by then.
absl::StatusOr<TlsContext> MakeServerTlsContext(const LiveKey& key);

// The certificate of the other end after a handshake. UNAUTHENTICATED where it has shown none of Hearth's.
absl::StatusOr<Certificate> PeerOf(const ssl_st* connection);
// The last certificate that the other end, a server, has shown: its authority's.
absl::StatusOr<Certificate> PeerAuthorityOf(const ssl_st* connection);

// Why the last call of OpenSSL in this thread has failed, in words; empties the thread's list of errors.
std::string TakeOpensslError();

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_TLS_CONTEXT_H_
