#ifndef HEARTH_DAEMON_ETCD_ETCD_CLIENT_H_
#define HEARTH_DAEMON_ETCD_ETCD_CLIENT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/etcdserverpb/rpc.pb.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace hearth {

struct EtcdOptions {
  std::vector<std::string> endpoints;  // HOST:PORT of each of its members
  std::string authority_pem = {};      // which its certificates are to come from; empty: plain
  std::string certificate_pem = {};    // this end's, where etcd asks for one, with key_pem
  std::string key_pem = {};
  absl::Duration patience = absl::Seconds(2);  // with one member that does not answer
};

// Calls of etcd, each made to the member that answered last and, where that does not, once to each of the
// others. Errors are one line that says what to do:
//   UNAVAILABLE          no member can be reached, or too few of them run
//   DEADLINE_EXCEEDED    none answered in time
//   RESOURCE_EXHAUSTED   its space is used up
//   OUT_OF_RANGE         the revision was compacted
//   FAILED_PRECONDITION  certificates do not fit
// Thread-safe; calls block, for one and a half times `patience` times the members at most.
class EtcdClient {
 public:
  using KeyValues = std::vector<etcdserverpb::KeyValue>;

  explicit EtcdClient(EtcdOptions options);
  ~EtcdClient();

  absl::StatusOr<std::optional<etcdserverpb::KeyValue>> Get(const std::string& key);
  // All keys that begin so, as they are at one moment, `page` keys a call.
  absl::StatusOr<KeyValues> ReadAll(const std::string& prefix, int64_t page);
  // One page of a range.
  absl::StatusOr<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request);
  // Where it was made and no answer came it may have been done.
  absl::StatusOr<etcdserverpb::TxnResponse> Commit(const etcdserverpb::TxnRequest& request);

  struct Lease {
    int64_t id = 0;
    absl::Duration life;  // from when the call was made
  };
  absl::StatusOr<Lease> GrantLease(absl::Duration life);
  // For how long from the call on. NOT_FOUND: it has ended.
  absl::StatusOr<absl::Duration> RenewLease(int64_t id);
  absl::Status RevokeLease(int64_t id);

 private:
  struct Member;
  using Call = std::function<grpc::Status(Member&, grpc::ClientContext&)>;
  absl::Status TryEach(const Call& call);
  absl::Status Explain(const grpc::Status& status, const std::string& endpoint) const;

  const EtcdOptions options_;
  std::vector<std::unique_ptr<Member>> members_;
  std::atomic<size_t> answers_ = 0;  // the member that answered last
};

// The key behind all that begin with `prefix`.
std::string EndOfPrefix(std::string prefix);

}  // namespace hearth

#endif  // HEARTH_DAEMON_ETCD_ETCD_CLIENT_H_
