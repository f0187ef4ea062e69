#ifndef HEARTH_DAEMON_ETCD_ETCD_STORE_H_
#define HEARTH_DAEMON_ETCD_ETCD_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/etcd/etcd_client.h"
#include "daemon/etcd/sealer.h"
#include "daemon/identity/home_files.h"
#include "daemon/state/state_store.h"

namespace hearth {

// Who may write: whoever leads in this term. The leader's key goes with its lease, so a revision at which it
// was made is that of one term.
struct Fence {
  std::string key;               // the leader's
  int64_t create_revision = -1;  // of it; -1: may not write at all
};

// What a coordinator keeps in etcd, for the next one, wherever that runs: requests, models, hosts that can be
// woken, and the home's authority and members. All of it is sealed, and no name of a request can be read.
// What is written is written by the leader or not at all: FAILED_PRECONDITION once another host leads or
// nobody does. Below `prefix`:
//
//   requests/P       a request; P stands for its name
//   tokens/P/N       its tokens behind the first N
//   models/NAME      a path
//   hosts/ID         a host that can be woken
//   home/NAME        the authority, the members
//
// A change of many requests is written in several pieces, each whole: where one fails the former ones stay.
// Requests of more than a MiB are left out. Thread-safe.
class EtcdStore final : public StateStore, public HomeFiles {
 public:
  // `client` outlives it.
  EtcdStore(EtcdClient& client, Sealer sealer, std::string prefix, Fence fence);

  absl::StatusOr<std::vector<KeptRequest>> Requests() override;
  absl::Status Write(const RequestChanges& changes) override;
  absl::StatusOr<std::map<std::string, KeptModel>> Models() override;
  absl::Status PutModel(const std::string& name, const KeptModel& model) override;
  absl::Status RemoveModel(const std::string& name) override;
  absl::StatusOr<std::map<std::string, std::string>> Hosts() override;
  absl::Status PutHost(const std::string& id, const std::string& content) override;
  absl::Status RemoveHost(const std::string& id) override;

  absl::StatusOr<std::optional<std::string>> Read(absl::string_view name) const override;
  absl::Status Write(absl::string_view name, const std::string& text) const override;

 private:
  std::string RequestKey(const RequestName& name) const;
  std::string TokensOf(const RequestName& name) const;
  etcdserverpb::RequestOp Put(const std::string& key, const std::string& text) const;
  absl::Status Commit(const std::vector<etcdserverpb::RequestOp>& operations) const;
  absl::StatusOr<std::string> Open(const etcdserverpb::KeyValue& value) const;
  std::vector<etcdserverpb::RequestOp> Removal(const RequestName& name) const;
  std::vector<etcdserverpb::RequestOp> PutRequest(const KeptRequest& request) const;
  etcdserverpb::RequestOp Append(const RequestChanges::Tokens& piece) const;

  EtcdClient& client_;
  const Sealer sealer_;
  const std::string prefix_;
  const Fence fence_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_ETCD_ETCD_STORE_H_
