#include "daemon/identity/tls_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "daemon/identity/home.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

// Both ends of a connection, joined in memory.
class Connection {
 public:
  Connection(const TlsContext& server, const TlsContext& client)
      : server_(SSL_new(server.get()), SSL_free), client_(SSL_new(client.get()), SSL_free) {
    BIO *a = nullptr, *b = nullptr;
    EXPECT_EQ(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(server_.get(), a, a);
    SSL_set_bio(client_.get(), b, b);
    SSL_set_accept_state(server_.get());
    SSL_set_connect_state(client_.get());
  }

  // Whether both ends accept each other.
  bool Shake() {
    for (int turn = 0; turn < 20; ++turn) {
      for (SSL* end : {client_.get(), server_.get()}) {
        const int result = SSL_do_handshake(end);
        const int error = SSL_get_error(end, result);
        TakeOpensslError();
        if (result != 1 && error != SSL_ERROR_WANT_READ) return false;
      }
      if (SSL_is_init_finished(client_.get()) && SSL_is_init_finished(server_.get())) return true;
    }
    return false;
  }

  SSL* server() const { return server_.get(); }
  SSL* client() const { return client_.get(); }

 private:
  const std::shared_ptr<SSL> server_, client_;
};

class TlsContextTest : public ::testing::Test {
 protected:
  ConnectionKey MemberKey(Home& home, Role role = Role::kClient) {
    return home.MakeKey(std::string(RoleName(role)), role, "").value();
  }

  TemporaryState state_, elsewhere_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  const std::unique_ptr<Home> other_ = Home::Open(elsewhere_.path(), "x").value();
  const TlsContext server_ = MakeTlsContext(home_->key()).value();
};

TEST_F(TlsContextTest, MembersOfAHomeKnowEachOther) {
  Connection connection(server_, MakeTlsContext(MemberKey(*home_)).value());
  ASSERT_TRUE(connection.Shake());
  EXPECT_EQ(PeerOf(connection.server())->role, Role::kClient);
  EXPECT_EQ(PeerOf(connection.client())->role, Role::kCoordinator);
  EXPECT_STREQ(SSL_get_version(connection.client()), "TLSv1.3");
}

TEST_F(TlsContextTest, StrangersAreRefusedByBothEnds) {
  EXPECT_FALSE(Connection(server_, MakeTlsContext(MemberKey(*other_)).value()).Shake());
  EXPECT_FALSE(Connection(server_, MakeStrangersTlsContext()).Shake());
  const TlsContext member = MakeTlsContext(MemberKey(*home_)).value();
  EXPECT_FALSE(Connection(MakeTlsContext(other_->key()).value(), member).Shake());
}

TEST_F(TlsContextTest, ClientCannotPassForAServer) {
  const TlsContext member = MakeTlsContext(MemberKey(*home_)).value();
  EXPECT_FALSE(Connection(member, MakeTlsContext(MemberKey(*home_, Role::kAdmin)).value()).Shake());
}

TEST_F(TlsContextTest, StrangerSeesTheServersAuthority) {
  const TlsContext open = MakeTlsContext(home_->key()).value();
  SSL_CTX_set_verify(open.get(), SSL_VERIFY_NONE, nullptr);
  Connection connection(open, MakeStrangersTlsContext());
  ASSERT_TRUE(connection.Shake());
  EXPECT_EQ(PeerAuthorityOf(connection.client())->id, ParseCertificate(home_->key().authority_pem)->id);
  EXPECT_EQ(PeerOf(connection.server()).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(TlsContextTest, RenewedCertificateIsShownFromTheNextHandshakeOn) {
  const LiveKey key(MemberKey(*home_));
  const TlsContext server = MakeTlsContext(home_->live_key()).value();
  const TlsContext client = MakeTlsContext(key).value();
  Connection before(server, client);
  ASSERT_TRUE(before.Shake());
  const std::string first = PeerOf(before.client())->pem;
  ASSERT_TRUE(home_->RenewOwn().ok());
  key.Replace(MemberKey(*home_, Role::kAdmin));
  Connection after(server, client);
  ASSERT_TRUE(after.Shake());
  EXPECT_EQ(PeerOf(after.client())->pem, home_->key().certificate_pem);
  EXPECT_EQ(PeerOf(after.server())->role, Role::kAdmin);
  // What was open goes on as it was.
  EXPECT_EQ(PeerOf(before.client())->pem, first);
  EXPECT_EQ(PeerOf(before.server())->role, Role::kClient);
  size_t written = 0, read = 0;
  char byte = 'x';
  EXPECT_EQ(SSL_write_ex(before.client(), &byte, 1, &written), 1);
  EXPECT_EQ(SSL_read_ex(before.server(), &byte, 1, &read), 1);
}

TEST_F(TlsContextTest, CertificateForHttpsIsRenewedAsWell) {
  const LiveKey key(home_->MakeServerKey({}).value());
  const TlsContext server = MakeServerTlsContext(key).value();
  for (int i = 0; i < 2; ++i) {
    Connection connection(server, MakeStrangersTlsContext());
    ASSERT_TRUE(connection.Shake());
    EXPECT_EQ(PeerOf(connection.client())->pem, key.get().certificate_pem);
    EXPECT_EQ(PeerAuthorityOf(connection.client())->id, ParseCertificate(home_->key().authority_pem)->id);
    key.Replace(home_->MakeServerKey({}).value());
  }
}

TEST_F(TlsContextTest, DamagedKeyLetsNobodyIn) {
  const LiveKey key(MemberKey(*home_));
  const TlsContext client = MakeTlsContext(key).value();
  key.Replace({});
  EXPECT_FALSE(Connection(server_, client).Shake());
}

TEST_F(TlsContextTest, PartsThatDoNotFitAreRefused) {
  ConnectionKey key = home_->key();
  key.private_key_pem = MakePrivateKey();
  EXPECT_EQ(MakeTlsContext(key).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(MakeTlsContext({}).ok());
}

}  // namespace
}  // namespace hearth
