#ifndef HEARTH_DAEMON_IDENTITY_HOME_H_
#define HEARTH_DAEMON_IDENTITY_HOME_H_

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/home_files.h"
#include "daemon/identity/identity_files.h"
#include "daemon/identity/invitations.h"
#include "daemon/identity/live_key.h"
#include "daemon/identity/members.h"
#include "engine/base/mutex.h"
#include "proto/connection_key.h"

namespace hearth {

// The texts of a home that another coordinator of it has to have, in the order in which they are written: the
// last one says that all are there.
inline constexpr std::array<const char*, 3> kHomeTexts = {"members", "authority-key.pem", "authority.pem"};

// A coordinator's home: its authority, its own certificate, whom it has invited and who belongs to it. All
// but the invitations is kept in the state directory. Thread-safe.
class Home {
 public:
  using Clock = std::function<absl::Time()>;

  // Opens the home of this directory, or founds it. `name`: the coordinator's. Errors: the files';
  // FAILED_PRECONDITION for damaged ones.
  static absl::StatusOr<std::unique_ptr<Home>> Open(const std::string& state_dir, const std::string& name,
                                                    Clock clock = absl::Now);
  // The same, of a home that other hosts may lead as well: authority and members are in `shared`, whither
  // those of the directory go where it has none. This host's own key stays in the directory.
  static absl::StatusOr<std::unique_ptr<Home>> Open(const std::string& state_dir, const std::string& name,
                                                    std::shared_ptr<const HomeFiles> shared,
                                                    Clock clock = absl::Now);

  // What the coordinator itself shows, and the files of its private key and its certificate.
  ConnectionKey key() const { return key_.get(); }
  const LiveKey& live_key() const { return key_; }
  std::string key_path() const { return own_.HostKeyPath(); }
  std::string certificate_path() const;
  // Gives the coordinator a new certificate, from now on.
  absl::Status RenewOwn();
  // FAILED_PRECONDITION where this machine's clock lies outside of the authority's life.
  absl::Status CheckClock() const;

  // A code by which one host may join through one of these addresses (JoinCode::addresses) before `life` is
  // over.
  std::string Invite(const std::vector<std::string>& addresses, absl::Duration life);
  // A host shows a code's secret and what its certificate is to say: it is a member from now on, and gets its
  // certificate. Errors in one line each: Invitations::Claim's; INVALID_ARGUMENT for a bad request.
  absl::StatusOr<std::string> Admit(const JoinSecret& secret, absl::string_view request_pem);
  // The same of a host whose short code a person has compared.
  absl::StatusOr<std::string> AdmitApproved(absl::string_view request_pem);
  // Who shows this certificate, a host, gets a new one for the same key, which the request is to be for. The
  // name and the role stay. Errors: Recognise's; INVALID_ARGUMENT for a bad request, PERMISSION_DENIED for
  // another's key.
  absl::StatusOr<std::string> Renew(absl::string_view certificate_pem, absl::string_view request_pem);
  // Makes a key for somebody who is no host; `server` is the address to be named in it. ALREADY_EXISTS when
  // there is one of that name.
  absl::StatusOr<ConnectionKey> MakeKey(const std::string& name, Role role, const std::string& server);

  // A key for HTTP (see api_key.h) for somebody who is a client or an admin: kept nowhere else.
  // ALREADY_EXISTS as above, INVALID_ARGUMENT for a name that cannot be.
  absl::StatusOr<std::string> MakeApiKey(const std::string& name, Role role);
  // Whose key for HTTP this is. UNAUTHENTICATED where it is nobody's.
  absl::StatusOr<Member> RecogniseApiKey(absl::string_view key) const;
  // A key and certificate of this home for a port that speaks HTTPS, made anew.
  absl::StatusOr<ConnectionKey> MakeServerKey(const ServerNames& names) const;

  std::vector<Member> members() const;
  // Takes somebody of these roles off the list, for good; see Members::Find for `who` and errors.
  absl::StatusOr<Member> Remove(absl::string_view who, absl::Span<const Role> roles);
  // Who shows this certificate; one who could lead this home counts as a host. UNAUTHENTICATED where it is
  // none of this home's, or does not hold by the coordinator's clock, which the words are about;
  // PERMISSION_DENIED where its owner was removed.
  absl::StatusOr<Member> Recognise(absl::string_view certificate_pem) const;
  // Called for everybody who is removed, without locks.
  void SetRemovedListener(std::function<void(const HostId&)> listener);

 private:
  // `own`: this host's, whose key it is.
  static absl::StatusOr<std::unique_ptr<Home>> OpenWith(const IdentityFiles& own,
                                                        std::shared_ptr<const HomeFiles> files,
                                                        const std::string& name, Clock clock);
  Home(IdentityFiles own, std::shared_ptr<const HomeFiles> files, std::string name, Authority authority,
       ConnectionKey key, Members members, Clock clock);
  // The certificate, where the authority has made it. UNAUTHENTICATED where not.
  absl::StatusOr<Certificate> ParseOurs(absl::string_view certificate_pem) const;
  // Whose such a certificate is.
  absl::StatusOr<Member> Recognise(const Certificate& certificate) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::string> Issue(const SigningRequest& request, Role role)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckKeyName(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Add(const Member& member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const IdentityFiles own_;
  const std::shared_ptr<const HomeFiles> files_;
  const std::string name_;
  const Authority authority_;
  const LiveKey key_;
  const Clock clock_;

  mutable Mutex mutex_;
  std::function<void(const HostId&)> on_removed_ ABSL_GUARDED_BY(mutex_);
  Invitations invitations_ ABSL_GUARDED_BY(mutex_);
  Members members_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_HOME_H_
