#include "daemon/identity/home.h"

#include <openssl/rand.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/identity/api_key.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr const char* kMembers = kHomeTexts[0];
constexpr const char* kAuthorityKey = kHomeTexts[1];
constexpr const char* kAuthority = kHomeTexts[2];
constexpr char kOwnCertificate[] = "coordinator.pem";

// A home that was one host's alone becomes one of several.
absl::Status TakeOverHome(const HomeFiles& from, const HomeFiles& to) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> there, to.Read(kAuthority));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> here, from.Read(kAuthority));
  if (there || !here) return absl::OkStatus();
  for (const char* name : kHomeTexts) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> text, from.Read(name));
    if (text) HEARTH_RETURN_IF_ERROR(to.Write(name, *text));
  }
  return absl::OkStatus();
}

absl::StatusOr<Authority> OpenAuthority(const HomeFiles& files, absl::Time now) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> key, files.Read(kAuthorityKey));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> certificate, files.Read(kAuthority));
  if (!certificate) {  // written last: without it no other file counts
    const Authority authority = MakeAuthority(now);
    HEARTH_RETURN_IF_ERROR(files.Write(kAuthorityKey, authority.key_pem));
    HEARTH_RETURN_IF_ERROR(files.Write(kAuthority, authority.certificate_pem));
    return authority;
  }
  const absl::StatusOr<Certificate> parsed = ParseCertificate(*certificate);
  const absl::StatusOr<HostId> id = IdOfPrivateKey(key.value_or(""));
  if (parsed.ok() && id.ok() && *id == parsed->id) return Authority{*key, *certificate};
  return absl::FailedPreconditionError(
      "the authority of this home is damaged (STATE_DIR/identity/authority*): put it back from a copy, or "
      "delete it and invite all hosts anew");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Home>> Home::Open(const std::string& state_dir, const std::string& name,
                                                 Clock clock) {
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(state_dir));
  return OpenWith(files, std::make_shared<IdentityFiles>(files), name, std::move(clock));
}

absl::StatusOr<std::unique_ptr<Home>> Home::Open(const std::string& state_dir, const std::string& name,
                                                 std::shared_ptr<const HomeFiles> shared, Clock clock) {
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(state_dir));
  HEARTH_RETURN_IF_ERROR(TakeOverHome(files, *shared));
  return OpenWith(files, std::move(shared), name, std::move(clock));
}

absl::StatusOr<std::unique_ptr<Home>> Home::OpenWith(const IdentityFiles& own,
                                                     std::shared_ptr<const HomeFiles> files,
                                                     const std::string& name, Clock clock) {
  HEARTH_ASSIGN_OR_RETURN(const Authority authority, OpenAuthority(*files, clock()));
  ConnectionKey key;
  HEARTH_ASSIGN_OR_RETURN(key.private_key_pem, own.HostKey());
  key.authority_pem = authority.certificate_pem;
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> list, files->Read(kMembers));
  HEARTH_ASSIGN_OR_RETURN(Members members, Members::Parse(list.value_or("")));
  auto home = std::unique_ptr<Home>(
      new Home(own, std::move(files), name, authority, std::move(key), std::move(members), std::move(clock)));
  // A new one at each start: nothing else depends on it.
  HEARTH_RETURN_IF_ERROR(home->RenewOwn());
  return home;
}

Home::Home(IdentityFiles own, std::shared_ptr<const HomeFiles> files, std::string name, Authority authority,
           ConnectionKey key, Members members, Clock clock)
    : own_(std::move(own)),
      files_(std::move(files)),
      name_(std::move(name)),
      authority_(std::move(authority)),
      key_(std::move(key)),
      clock_(std::move(clock)),
      members_(std::move(members)) {}

std::string Home::certificate_path() const { return own_.PathOf(kOwnCertificate); }

absl::Status Home::RenewOwn() {
  ConnectionKey key = key_.get();
  HEARTH_ASSIGN_OR_RETURN(const std::string request_pem, MakeSigningRequest(key.private_key_pem, name_));
  HEARTH_ASSIGN_OR_RETURN(const SigningRequest request, ParseSigningRequest(request_pem));
  HEARTH_ASSIGN_OR_RETURN(key.certificate_pem,
                          IssueCertificate(authority_, request, Role::kCoordinator, clock_()));
  HEARTH_RETURN_IF_ERROR(own_.Write(kOwnCertificate, key.certificate_pem));
  key_.Replace(std::move(key));
  return absl::OkStatus();
}

absl::Status Home::CheckClock() const {
  HEARTH_ASSIGN_OR_RETURN(const Certificate authority, ParseCertificate(authority_.certificate_pem));
  return CheckLife(authority.life, clock_(),
                   {.certificate = "the authority of this home", .remedy = "found the home anew"});
}

std::string Home::Invite(const std::vector<std::string>& addresses, absl::Duration life) {
  JoinCode code;
  code.addresses = addresses;
  code.authority = ParseCertificate(authority_.certificate_pem)->id;
  HEARTH_CHECK(RAND_bytes(code.secret.data(), static_cast<int>(code.secret.size())) == 1);
  MutexLock lock(&mutex_);
  invitations_.Add(code.secret, clock_() + life);
  return FormatJoinCode(code);
}

absl::StatusOr<std::string> Home::Admit(const JoinSecret& secret, absl::string_view request_pem) {
  HEARTH_ASSIGN_OR_RETURN(const SigningRequest request, ParseSigningRequest(request_pem));
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(invitations_.Claim(secret, request.id, clock_()));
  return Issue(request, Role::kHost);
}

absl::StatusOr<std::string> Home::AdmitApproved(absl::string_view request_pem) {
  HEARTH_ASSIGN_OR_RETURN(const SigningRequest request, ParseSigningRequest(request_pem));
  MutexLock lock(&mutex_);
  return Issue(request, Role::kHost);
}

absl::StatusOr<std::string> Home::Renew(absl::string_view certificate_pem, absl::string_view request_pem) {
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseOurs(certificate_pem));
  HEARTH_ASSIGN_OR_RETURN(SigningRequest request, ParseSigningRequest(request_pem));
  if (request.id != certificate.id)
    return absl::PermissionDeniedError("the signing request is for another key than that of the certificate");
  MutexLock lock(&mutex_);  // nobody is removed in between, to come back by this
  HEARTH_ASSIGN_OR_RETURN(const Member member, Recognise(certificate));
  if (member.role != Role::kHost)
    return absl::PermissionDeniedError("only hosts renew their certificates: make another key in its place");
  request.name = member.name;
  // One who could lead makes them itself, and is in no list.
  if (certificate.role == Role::kCoordinator)
    return IssueCertificate(authority_, request, Role::kCoordinator, clock_());
  return Issue(request, Role::kHost);
}

absl::StatusOr<ConnectionKey> Home::MakeKey(const std::string& name, Role role, const std::string& server) {
  ConnectionKey key;
  key.private_key_pem = MakePrivateKey();
  key.authority_pem = authority_.certificate_pem;
  key.server = server;
  HEARTH_ASSIGN_OR_RETURN(const std::string request_pem, MakeSigningRequest(key.private_key_pem, name));
  HEARTH_ASSIGN_OR_RETURN(const SigningRequest request, ParseSigningRequest(request_pem));
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(CheckKeyName(name));
  HEARTH_ASSIGN_OR_RETURN(key.certificate_pem, Issue(request, role));
  return key;
}

absl::StatusOr<std::string> Home::MakeApiKey(const std::string& name, Role role) {
  HEARTH_RETURN_IF_ERROR(CheckName("the name", name));
  const std::string key = hearth::MakeApiKey();
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(CheckKeyName(name));
  HEARTH_RETURN_IF_ERROR(Add({*IdOfApiKey(key), role, name, absl::InfiniteFuture(), /*api_key=*/true}));
  return key;
}

absl::StatusOr<Member> Home::RecogniseApiKey(absl::string_view key) const {
  const std::optional<HostId> id = IdOfApiKey(key);
  MutexLock lock(&mutex_);
  const Member* const member = id ? members_.FindApiKey(*id) : nullptr;
  if (member != nullptr) return *member;
  return absl::UnauthenticatedError(
      "the key is none of this home's, or was revoked: `hearth key create --api NAME` makes another");
}

absl::StatusOr<ConnectionKey> Home::MakeServerKey(const ServerNames& names) const {
  ConnectionKey key;
  key.private_key_pem = MakePrivateKey();
  key.authority_pem = authority_.certificate_pem;
  HEARTH_ASSIGN_OR_RETURN(key.certificate_pem,
                          IssueServerCertificate(authority_, key.private_key_pem, names, clock_()));
  return key;
}

absl::Status Home::CheckKeyName(const std::string& name) const {
  if (absl::IsNotFound(members_.Find(name, {Role::kClient, Role::kAdmin}).status())) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("there is a key called ", name, ": choose another name, or revoke that one first"));
}

absl::StatusOr<std::string> Home::Issue(const SigningRequest& request, Role role) {
  const absl::Time now = clock_();
  HEARTH_ASSIGN_OR_RETURN(std::string certificate, IssueCertificate(authority_, request, role, now));
  HEARTH_RETURN_IF_ERROR(Add({request.id, role, request.name, LifeOf(certificate)->until}));
  return certificate;
}

absl::Status Home::Add(const Member& member) {
  Members members = members_;
  HEARTH_RETURN_IF_ERROR(members.Add(member));
  HEARTH_RETURN_IF_ERROR(files_->Write(kMembers, members.Format()));
  members_ = std::move(members);
  return absl::OkStatus();
}

std::vector<Member> Home::members() const {
  MutexLock lock(&mutex_);
  return members_.List();
}

absl::StatusOr<Member> Home::Remove(absl::string_view who, absl::Span<const Role> roles) {
  absl::StatusOr<Member> removed;
  std::function<void(const HostId&)> listener;
  {
    MutexLock lock(&mutex_);
    removed = members_.Find(who, roles);
    if (!removed.ok()) return removed;
    Members members = members_;
    members.Remove(removed->id);
    HEARTH_RETURN_IF_ERROR(files_->Write(kMembers, members.Format()));
    members_ = std::move(members);
    invitations_.Forget(removed->id);
    listener = on_removed_;
  }
  if (listener) listener(removed->id);
  return removed;
}

void Home::SetRemovedListener(std::function<void(const HostId&)> listener) {
  MutexLock lock(&mutex_);
  on_removed_ = std::move(listener);
}

absl::StatusOr<Certificate> Home::ParseOurs(absl::string_view certificate_pem) const {
  absl::StatusOr<Certificate> certificate = ParseCertificate(certificate_pem);
  if (certificate.ok() && CheckIssued(*certificate, authority_.certificate_pem).ok()) return certificate;
  return absl::UnauthenticatedError("the certificate is not of this home");
}

absl::StatusOr<Member> Home::Recognise(absl::string_view certificate_pem) const {
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseOurs(certificate_pem));
  MutexLock lock(&mutex_);
  return Recognise(certificate);
}

absl::StatusOr<Member> Home::Recognise(const Certificate& certificate) const {
  const bool is_key = certificate.role == Role::kClient || certificate.role == Role::kAdmin;
  LifeWords words{.clock = "the coordinator's clock",
                  .certificate = absl::StrCat("the certificate of ", certificate.name)};
  if (is_key) words.remedy = "make another key with `hearth key create`";
  if (const absl::Status life = CheckLife(certificate.life, clock_(), words); !life.ok())
    return absl::UnauthenticatedError(life.message());
  // Only who has the authority's key makes itself a coordinator's certificate.
  if (certificate.role == Role::kCoordinator)
    return Member{certificate.id, Role::kHost, certificate.name, absl::InfiniteFuture()};
  const Member* member = members_.Find(certificate.id);
  if (member != nullptr && !member->api_key && certificate.role == member->role) return *member;
  return absl::PermissionDeniedError(absl::StrCat(
      certificate.name, " does not belong to this home any more: join again with a code of `hearth invite`"));
}

}  // namespace hearth
