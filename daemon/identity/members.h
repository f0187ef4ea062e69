#ifndef HEARTH_DAEMON_IDENTITY_MEMBERS_H_
#define HEARTH_DAEMON_IDENTITY_MEMBERS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// Somebody whom a home has given a certificate, or a key for HTTP (see api_key.h).
struct Member {
  HostId id;
  Role role = Role::kHost;
  std::string name;      // a label
  absl::Time expires;    // the certificate; a key for HTTP never does
  bool api_key = false;  // has the key for HTTP with this id, and no certificate

  bool operator==(const Member&) const = default;
};

// Who belongs to a home besides its coordinator. A certificate counts while its key is in this list: to take
// somebody off it is to revoke the certificate. Not thread-safe.
class Members {
 public:
  static constexpr size_t kMost = 1024;

  // As text, one line each, and back. FAILED_PRECONDITION names a line that cannot be read.
  std::string Format() const;
  static absl::StatusOr<Members> Parse(absl::string_view text);

  // In place of one with the same key. RESOURCE_EXHAUSTED when there are kMost.
  absl::Status Add(const Member& member);
  // Null where nobody has the key.
  const Member* Find(const HostId& id) const;
  // Whose key for HTTP has this id; takes as long for any id. Null where nobody's has.
  const Member* FindApiKey(const HostId& id) const;
  // The only one of these roles with this name, id or short id. NOT_FOUND lists the names;
  // FAILED_PRECONDITION lists the ids where several have the name.
  absl::StatusOr<Member> Find(absl::string_view who, absl::Span<const Role> roles) const;
  void Remove(const HostId& id) { members_.erase(id); }
  std::vector<Member> List() const;

 private:
  std::map<HostId, Member> members_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_MEMBERS_H_
