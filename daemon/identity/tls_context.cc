#include "daemon/identity/tls_context.h"

#include <openssl/err.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/openssl_ptr.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Records that come together are read by one call of the system.
constexpr size_t kReadBufferBytes = 64 << 10;

TlsContext NewContext() {
  TlsContext context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  HEARTH_CHECK(context != nullptr && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1);
  // Of these the quickest that both have; 128 bits are as much as the home's keys give.
  HEARTH_CHECK(SSL_CTX_set_ciphersuites(context.get(),
                                        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                        "TLS_CHACHA20_POLY1305_SHA256") == 1);
  // Connections are few and long: nothing is resumed, so no ticket outlives what is revoked.
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context.get(), 1);  // one call of the system for a record, not two
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

absl::StatusOr<Certificate> Parse(X509* x509) {
  if (x509 == nullptr) return absl::UnauthenticatedError("the other end has shown no certificate");
  return ParseCertificate(WrittenText([&](BIO* bio) { return PEM_write_bio_X509(bio, x509); }));
}

TlsContext NewServerContext() {
  TlsContext context = NewContext();
  HEARTH_CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1);
  HEARTH_CHECK(SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  return context;
}

// What a context shows: a live key, read from its text once for each version, since that costs more than the
// handshake itself. Thread-safe.
class ShownKey {
 public:
  explicit ShownKey(const LiveKey& key) : key_(key) {}

  // Lets a connection show the key and its certificate, with the authority behind it; false where they are
  // damaged or do not fit each other.
  bool Show(ssl_st* connection) {
    const std::shared_ptr<const Parts> parts = Read();
    return parts->private_key != nullptr && parts->certificate != nullptr && parts->authority != nullptr &&
           SSL_use_certificate(connection, parts->certificate.get()) == 1 &&
           SSL_use_PrivateKey(connection, parts->private_key.get()) == 1 &&
           SSL_add1_chain_cert(connection, parts->authority.get()) == 1;
  }

 private:
  struct Parts {
    KeyPtr private_key;
    X509Ptr certificate, authority;
  };

  std::shared_ptr<const Parts> Read() {
    MutexLock lock(&mutex_);
    const uint64_t version = key_.version();  // before the text: one that is older than it is read again
    if (parts_ == nullptr || version_ != version) {
      const ConnectionKey key = key_.get();
      parts_ = std::make_shared<const Parts>(
          Parts{ReadKey(key.private_key_pem), ReadX509(key.certificate_pem), ReadX509(key.authority_pem)});
      version_ = version;
    }
    return parts_;
  }

  const LiveKey key_;
  Mutex mutex_;
  std::shared_ptr<const Parts> parts_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Where a context keeps its key, which lives as long as it.
int KeyIndex() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* key, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<ShownKey*>(key); });
  return index;
}

// The context itself has no certificate: one that is in use cannot be given another. Every handshake takes
// the key's.
absl::Status ShowWhatIsLive(const LiveKey& key, SSL_CTX* context) {
  auto shown = std::make_unique<ShownKey>(key);
  const OpensslPtr<ssl_st, SSL_free> trial(SSL_new(context));
  if (!shown->Show(trial.get())) {
    TakeOpensslError();
    return absl::InvalidArgumentError("the key and certificates of this host do not fit each other");
  }
  SSL_CTX_set_cert_cb(
      context,
      [](ssl_st* connection, void* shown) { return static_cast<ShownKey*>(shown)->Show(connection) ? 1 : 0; },
      shown.get());
  HEARTH_CHECK(SSL_CTX_set_ex_data(context, KeyIndex(), shown.release()) == 1);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsContext> MakeTlsContext(const LiveKey& key) {
  TlsContext context = NewContext();
  HEARTH_RETURN_IF_ERROR(ShowWhatIsLive(key, context.get()));
  const X509Ptr authority = ReadX509(key.get().authority_pem);
  HEARTH_CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get()) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_default_read_buffer_len(context.get(), kReadBufferBytes);
  return context;
}

absl::StatusOr<TlsContext> MakeServerTlsContext(const LiveKey& key) {
  TlsContext context = NewServerContext();
  HEARTH_RETURN_IF_ERROR(ShowWhatIsLive(key, context.get()));
  return context;
}

TlsContext MakeStrangersTlsContext() {
  TlsContext context = NewContext();
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context;
}

absl::StatusOr<TlsContext> MakeServerTlsContext(absl::string_view certificates_pem,
                                                absl::string_view key_pem) {
  TlsContext context = NewServerContext();
  const BioPtr certificates = ReadBio(certificates_pem);
  const auto next = [&] { return X509Ptr(PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)); };
  const X509Ptr own = next();
  if (own == nullptr || SSL_CTX_use_certificate(context.get(), own.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("no certificate in PEM: ", TakeOpensslError()));
  }
  while (const X509Ptr issuer = next()) {
    if (SSL_CTX_add1_chain_cert(context.get(), issuer.get()) != 1) break;
  }
  TakeOpensslError();  // the end of the text
  const KeyPtr key = ReadKey(key_pem);
  if (key == nullptr) {
    TakeOpensslError();
    return absl::InvalidArgumentError("no private key in PEM without a pass phrase");
  }
  if (X509_check_private_key(own.get(), key.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    TakeOpensslError();
    return absl::InvalidArgumentError("the private key is not that of the certificate");
  }
  return context;
}

absl::StatusOr<Certificate> PeerOf(const ssl_st* connection) {
  return Parse(SSL_get0_peer_certificate(connection));
}

absl::StatusOr<Certificate> PeerAuthorityOf(const ssl_st* connection) {
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(connection);
  return Parse(chain == nullptr ? nullptr : sk_X509_value(chain, sk_X509_num(chain) - 1));
}

std::string TakeOpensslError() {
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  return reason == nullptr ? "no reason given" : reason;
}

}  // namespace hearth
