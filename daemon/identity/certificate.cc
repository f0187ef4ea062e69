#include "daemon/identity/certificate.h"

#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/openssl_ptr.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kMaxLabelBytes = 64;
constexpr size_t kSerialBytes = 16;
constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 30);
constexpr char kAuthorityName[] = "Hearth home";
constexpr char kHostNameEnd[] = ".hearth";
constexpr char kServerName[] = "Hearth";
constexpr size_t kMaxServerNames = 64;
constexpr size_t kMaxDnsBytes = 253;
constexpr std::array<std::pair<Role, absl::string_view>, 4> kRoles = {{{Role::kCoordinator, "coordinator"},
                                                                       {Role::kHost, "host"},
                                                                       {Role::kClient, "client"},
                                                                       {Role::kAdmin, "admin"}}};

absl::Status NoCertificate() { return absl::InvalidArgumentError("this is no certificate of Hearth"); }
absl::Status NoKey() { return absl::InvalidArgumentError("this is no private key of Hearth (P-256)"); }
absl::Status NoRequest() { return absl::InvalidArgumentError("this is no signing request of Hearth"); }

bool IsP256(EVP_PKEY* key) {
  std::array<char, 64> group{};
  return key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         absl::string_view(group.data()) == "prime256v1";
}

HostId IdOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int bytes = i2d_PUBKEY(key, &der);
  HEARTH_CHECK(bytes > 0);
  const HostId id(Sha256Of({der, static_cast<size_t>(bytes)}));
  OPENSSL_free(der);
  return id;
}

// The common name, or an empty text.
std::string NameOf(const X509_NAME* subject) {
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return "";
  unsigned char* utf8 = nullptr;
  const int bytes = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (bytes < 0) return "";
  std::string name(reinterpret_cast<char*>(utf8), static_cast<size_t>(bytes));
  OPENSSL_free(utf8);
  return name;
}

void SetName(X509_NAME* subject, const std::string& name) {
  HEARTH_CHECK(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                          reinterpret_cast<const unsigned char*>(name.data()),
                                          static_cast<int>(name.size()), -1, 0) == 1);
}

// The role that the certificate's only alternative name stands for.
std::optional<Role> RoleOf(X509* certificate) {
  const OpensslPtr<GENERAL_NAMES, GENERAL_NAMES_free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr || sk_GENERAL_NAME_num(names.get()) != 1) return std::nullopt;
  const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), 0);
  if (name->type != GEN_DNS) return std::nullopt;
  const absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                               static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  if (!absl::EndsWith(text, kHostNameEnd)) return std::nullopt;
  return ParseRole(text.substr(0, text.size() - (sizeof(kHostNameEnd) - 1)));
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const OpensslPtr<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  HEARTH_CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// A certificate of this key with a number of its own, its life and nothing else.
X509Ptr NewX509(EVP_PKEY* key, absl::Time not_before, absl::Time not_after) {
  X509Ptr certificate(X509_new());
  std::array<unsigned char, kSerialBytes> serial;
  HEARTH_CHECK(RAND_bytes(serial.data(), serial.size()) == 1);
  serial[0] &= 0x7f;  // a positive number
  const OpensslPtr<BIGNUM, BN_free> number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  HEARTH_CHECK(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  HEARTH_CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr);
  HEARTH_CHECK(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before)) != nullptr);
  HEARTH_CHECK(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after)) != nullptr);
  HEARTH_CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

std::string Sign(X509* certificate, EVP_PKEY* key) {
  HEARTH_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  return WrittenText([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

// Who may be the server of a TLS connection: those that others call.
std::string KeyUse(Role role) {
  return role == Role::kCoordinator || role == Role::kHost ? "serverAuth,clientAuth" : "clientAuth";
}

RequestPtr ReadRequest(absl::string_view pem) {
  return RequestPtr(PEM_read_bio_X509_REQ(ReadBio(pem).get(), nullptr, nullptr, nullptr));
}

// What a certificate says of its owner, as OpenSSL writes it.
struct Owner {
  std::string name;
  std::string key_use;
  std::string alternative_names;
};

absl::StatusOr<std::string> Issue(const Authority& authority, EVP_PKEY* key, const Owner& owner,
                                  absl::Time now) {
  const X509Ptr issuer = ReadX509(authority.certificate_pem);
  const KeyPtr issuer_key = ReadKey(authority.key_pem);
  if (issuer == nullptr || issuer_key == nullptr || X509_check_ca(issuer.get()) == 0) {
    return absl::InvalidArgumentError("this is no authority of Hearth");
  }
  const absl::Time end = LifeOf(*issuer).until;
  if (now > end) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the authority of this home was good until ", DayText(end), " and the clock of this machine says ",
        DayText(now), ": set the clock if that is wrong, or found the home anew"));
  }
  const X509Ptr x509 = NewX509(key, now - kClockTolerance, std::min(now + kCertificateLife, end));
  SetName(X509_get_subject_name(x509.get()), owner.name);
  HEARTH_CHECK(X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer.get())) == 1);
  AddExtension(x509.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(x509.get(), issuer.get(), NID_key_usage, "critical,digitalSignature");
  AddExtension(x509.get(), issuer.get(), NID_ext_key_usage, owner.key_use);
  AddExtension(x509.get(), issuer.get(), NID_subject_alt_name, owner.alternative_names);
  AddExtension(x509.get(), issuer.get(), NID_authority_key_identifier, "keyid");
  return Sign(x509.get(), issuer_key.get());
}

// Letters, digits, dashes and dots: whatever else a machine is called would be read as more than a name.
bool IsDnsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxDnsBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
         });
}

bool IsAddress(const std::string& address) {
  const OpensslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> parsed(a2i_IPADDRESS(address.c_str()));
  ERR_clear_error();
  return parsed != nullptr;
}

}  // namespace

absl::string_view RoleName(Role role) {
  for (const auto& [known, name] : kRoles) {
    if (known == role) return name;
  }
  return "";
}

std::optional<Role> ParseRole(absl::string_view name) {
  for (const auto& [role, known] : kRoles) {
    if (known == name) return role;
  }
  return std::nullopt;
}

std::string RoleHostName(Role role) { return absl::StrCat(RoleName(role), kHostNameEnd); }

std::string MakePrivateKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  HEARTH_CHECK(key != nullptr);
  return WrittenText([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

absl::StatusOr<HostId> IdOfPrivateKey(absl::string_view key_pem) {
  const KeyPtr key = ReadKey(key_pem);
  if (!IsP256(key.get())) return NoKey();
  return IdOf(key.get());
}

absl::StatusOr<Certificate> ParseCertificate(absl::string_view pem) {
  const X509Ptr x509 = ReadX509(pem);
  if (x509 == nullptr || !IsP256(X509_get0_pubkey(x509.get()))) return NoCertificate();
  Certificate certificate;
  certificate.pem = WrittenText([&](BIO* bio) { return PEM_write_bio_X509(bio, x509.get()); });
  certificate.name = NameOf(X509_get_subject_name(x509.get()));
  certificate.id = IdOf(X509_get0_pubkey(x509.get()));
  certificate.role = RoleOf(x509.get());
  certificate.life = LifeOf(*x509);
  return certificate;
}

absl::StatusOr<std::string> MakeSigningRequest(absl::string_view key_pem, const std::string& name) {
  HEARTH_RETURN_IF_ERROR(CheckName("the name", name));
  const KeyPtr key = ReadKey(key_pem);
  if (!IsP256(key.get())) return NoKey();
  const RequestPtr request(X509_REQ_new());
  HEARTH_CHECK(request != nullptr && X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  SetName(X509_REQ_get_subject_name(request.get()), Printable(name, kMaxLabelBytes));
  HEARTH_CHECK(X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0);
  return WrittenText([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); });
}

absl::StatusOr<SigningRequest> ParseSigningRequest(absl::string_view pem) {
  const RequestPtr request = ReadRequest(pem);
  if (request == nullptr) return NoRequest();
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (!IsP256(key) || X509_REQ_verify(request.get(), key) != 1) return NoRequest();
  std::string name = NameOf(X509_REQ_get_subject_name(request.get()));
  if (name.size() > kMaxLabelBytes || !CheckName("the name", name).ok()) return NoRequest();
  return SigningRequest{std::string(pem), std::move(name), IdOf(key)};
}

Authority MakeAuthority(absl::Time now) {
  Authority authority;
  authority.key_pem = MakePrivateKey();
  const KeyPtr key = ReadKey(authority.key_pem);
  const X509Ptr x509 = NewX509(key.get(), now - kClockTolerance, now + kAuthorityLife);
  SetName(X509_get_subject_name(x509.get()), kAuthorityName);
  HEARTH_CHECK(X509_set_issuer_name(x509.get(), X509_get_subject_name(x509.get())) == 1);
  AddExtension(x509.get(), x509.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(x509.get(), x509.get(), NID_key_usage, "critical,keyCertSign");
  AddExtension(x509.get(), x509.get(), NID_subject_key_identifier, "hash");
  authority.certificate_pem = Sign(x509.get(), key.get());
  return authority;
}

bool IsRenewalDue(const CertificateLife& life, absl::Time now) {
  return now < life.from || now >= life.until - (life.until - life.from) / 3;
}

absl::StatusOr<std::string> IssueCertificate(const Authority& authority, const SigningRequest& request,
                                             Role role, absl::Time now) {
  const RequestPtr asked = ReadRequest(request.pem);
  if (asked == nullptr) return NoRequest();
  return Issue(authority, X509_REQ_get0_pubkey(asked.get()),
               {request.name, KeyUse(role), absl::StrCat("DNS:", RoleHostName(role))}, now);
}

absl::StatusOr<std::string> IssueServerCertificate(const Authority& authority, absl::string_view key_pem,
                                                   const ServerNames& names, absl::Time now) {
  const KeyPtr key = ReadKey(key_pem);
  if (!IsP256(key.get())) return NoKey();
  // Two names at least, so that they are never one role's.
  std::string alternative = "DNS:localhost,IP:127.0.0.1,IP:::1";
  size_t count = 0;
  for (const std::string& host : names.hosts) {
    if (IsDnsName(host) && ++count <= kMaxServerNames) absl::StrAppend(&alternative, ",DNS:", host);
  }
  for (const std::string& address : names.addresses) {
    if (IsAddress(address) && ++count <= kMaxServerNames) absl::StrAppend(&alternative, ",IP:", address);
  }
  return Issue(authority, key.get(), {kServerName, "serverAuth", alternative}, now);
}

absl::Status CheckIssued(const Certificate& certificate, absl::string_view authority_pem) {
  const X509Ptr x509 = ReadX509(certificate.pem);
  const X509Ptr issuer = ReadX509(authority_pem);
  if (x509 == nullptr || issuer == nullptr) return NoCertificate();
  if (X509_check_ca(x509.get()) == 0 && X509_check_issued(issuer.get(), x509.get()) == X509_V_OK &&
      X509_verify(x509.get(), X509_get0_pubkey(issuer.get())) == 1) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError("the certificate is not of this home");
}

}  // namespace hearth
