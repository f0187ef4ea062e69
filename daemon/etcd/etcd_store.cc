#include "daemon/etcd/etcd_store.h"

#include <spdlog/spdlog.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {
namespace {

namespace etcd = ::etcdserverpb;

constexpr char kRequests[] = "requests/";
constexpr char kTokens[] = "tokens/";
constexpr char kModels[] = "models/";
constexpr char kHosts[] = "hosts/";
constexpr char kHome[] = "home/";

// etcd takes 128 operations and 1.5 MiB in one transaction.
constexpr size_t kMostOperations = 100;
constexpr size_t kMostBytes = size_t{1} << 20;
constexpr size_t kMostPieceTokens = size_t{1} << 17;
// Keys in one answer: those of requests may be large, pieces of tokens are small.
constexpr int64_t kRequestsPage = 32;
constexpr int64_t kTokensPage = 1000;
constexpr int64_t kModelsPage = 1000;
constexpr int64_t kHostsPage = 1000;

etcd::RequestOp Delete(const std::string& key) {
  etcd::RequestOp operation;
  operation.mutable_request_delete_range()->set_key(key);
  return operation;
}

etcd::RequestOp DeleteAll(const std::string& prefix) {
  etcd::RequestOp operation = Delete(prefix);
  operation.mutable_request_delete_range()->set_range_end(EndOfPrefix(prefix));
  return operation;
}

// Of a piece, as its key ends: by its place, in order.
std::string PlaceText(size_t first) { return absl::StrCat(absl::Dec(first, absl::kZeroPad10)); }

KeptRequest FromStored(const v1::StoredRequest& stored) {
  KeptRequest request;
  request.name = {stored.caller(), stored.id()};
  request.kind = stored.chat() ? RequestKind::kChat : RequestKind::kGenerate;
  request.content = stored.content();
  request.digest = stored.digest();
  request.seed = stored.seed();
  request.arrived = absl::FromUnixMicros(stored.arrived_us());
  request.used = absl::FromUnixMicros(stored.used_us());
  request.tokens.assign(stored.tokens().begin(), stored.tokens().end());
  return request;
}

v1::StoredRequest ToStored(const KeptRequest& request) {
  v1::StoredRequest stored;
  stored.set_caller(request.name.caller);
  stored.set_id(request.name.id);
  stored.set_chat(request.kind == RequestKind::kChat);
  stored.set_content(request.content);
  stored.set_digest(request.digest);
  stored.set_seed(request.seed.value_or(0));
  stored.set_arrived_us(absl::ToUnixMicros(request.arrived));
  stored.set_used_us(absl::ToUnixMicros(request.used));
  stored.mutable_tokens()->Assign(request.tokens.begin(), request.tokens.end());
  return stored;
}

// Groups of operations, made into transactions that are small enough and name no key twice.
class Batches {
 public:
  using Batch = std::vector<etcd::RequestOp>;

  // `subject`: whose keys these are.
  void Add(const std::string& subject, Batch group) {
    size_t bytes = 0;
    for (const etcd::RequestOp& operation : group) bytes += operation.ByteSizeLong();
    if (subjects_.contains(subject) || batches_.empty() ||
        batches_.back().size() + group.size() > kMostOperations || bytes_ + bytes > kMostBytes) {
      batches_.emplace_back();
      subjects_.clear();
      bytes_ = 0;
    }
    bytes_ += bytes;
    subjects_.insert(subject);
    for (etcd::RequestOp& operation : group) batches_.back().push_back(std::move(operation));
  }
  const std::vector<Batch>& batches() const { return batches_; }

 private:
  std::vector<Batch> batches_;
  std::set<std::string> subjects_;  // of the last
  size_t bytes_ = 0;                // of the last
};

}  // namespace

EtcdStore::EtcdStore(EtcdClient& client, Sealer sealer, std::string prefix, Fence fence)
    : client_(client), sealer_(std::move(sealer)), prefix_(std::move(prefix)), fence_(std::move(fence)) {}

absl::StatusOr<std::vector<KeptRequest>> EtcdStore::Requests() {
  HEARTH_ASSIGN_OR_RETURN(const auto headers, client_.ReadAll(prefix_ + kRequests, kRequestsPage));
  HEARTH_ASSIGN_OR_RETURN(const auto pieces, client_.ReadAll(prefix_ + kTokens, kTokensPage));
  std::vector<KeptRequest> requests;
  for (const etcd::KeyValue& header : headers) {
    HEARTH_ASSIGN_OR_RETURN(const std::string text, Open(header));
    v1::StoredRequest stored;
    if (!stored.ParseFromString(text)) continue;
    requests.push_back(FromStored(stored));
  }
  std::map<std::string, KeptRequest*> by_tokens;
  for (KeptRequest& request : requests) by_tokens[TokensOf(request.name)] = &request;
  // They come in order; what is behind a missing piece does not count.
  for (const etcd::KeyValue& piece : pieces) {
    const size_t place = piece.key().rfind('/') + 1;
    const auto found = by_tokens.find(piece.key().substr(0, place));
    if (found == by_tokens.end() || piece.key().substr(place) != PlaceText(found->second->tokens.size()))
      continue;
    HEARTH_ASSIGN_OR_RETURN(const std::string text, Open(piece));
    v1::StoredTokens stored;
    if (!stored.ParseFromString(text)) continue;
    found->second->tokens.insert(found->second->tokens.end(), stored.tokens().begin(), stored.tokens().end());
    found->second->used = absl::FromUnixMicros(stored.used_us());
  }
  return requests;
}

absl::Status EtcdStore::Write(const RequestChanges& changes) {
  if (changes.forget_all)
    HEARTH_RETURN_IF_ERROR(Commit({DeleteAll(prefix_ + kRequests), DeleteAll(prefix_ + kTokens)}));
  Batches batches;
  for (const RequestName& name : changes.removed) batches.Add(RequestKey(name), Removal(name));
  for (const KeptRequest& request : changes.put) batches.Add(RequestKey(request.name), PutRequest(request));
  for (const RequestChanges::Tokens& piece : changes.appended)
    batches.Add(RequestKey(piece.name), {Append(piece)});
  for (const Batches::Batch& batch : batches.batches()) HEARTH_RETURN_IF_ERROR(Commit(batch));
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, KeptModel>> EtcdStore::Models() {
  HEARTH_ASSIGN_OR_RETURN(const auto values, client_.ReadAll(prefix_ + kModels, kModelsPage));
  std::map<std::string, KeptModel> models;
  for (const etcd::KeyValue& value : values) {
    HEARTH_ASSIGN_OR_RETURN(const std::string text, Open(value));
    const std::string name = value.key().substr(prefix_.size() + sizeof(kModels) - 1);
    v1::StoredModel stored;
    if (!stored.ParseFromString(text)) continue;
    if (CheckName("name", name).ok() && CheckPath("path", stored.path()).ok())
      models[name] = {stored.path(),
                      stored.objective(),
                      stored.draft(),
                      {stored.adapters().begin(), stored.adapters().end()}};
  }
  return models;
}

absl::Status EtcdStore::PutModel(const std::string& name, const KeptModel& model) {
  v1::StoredModel stored;
  stored.set_path(model.path);
  stored.set_objective(model.objective);
  stored.set_draft(model.draft);
  stored.mutable_adapters()->Assign(model.adapters.begin(), model.adapters.end());
  return Commit({Put(absl::StrCat(prefix_, kModels, name), stored.SerializeAsString())});
}

absl::Status EtcdStore::RemoveModel(const std::string& name) {
  return Commit({Delete(absl::StrCat(prefix_, kModels, name))});
}

absl::StatusOr<std::map<std::string, std::string>> EtcdStore::Hosts() {
  HEARTH_ASSIGN_OR_RETURN(const auto values, client_.ReadAll(prefix_ + kHosts, kHostsPage));
  std::map<std::string, std::string> hosts;
  for (const etcd::KeyValue& value : values) {
    const std::string id = value.key().substr(prefix_.size() + sizeof(kHosts) - 1);
    HEARTH_ASSIGN_OR_RETURN(hosts[id], Open(value));
  }
  return hosts;
}

absl::Status EtcdStore::PutHost(const std::string& id, const std::string& content) {
  return Commit({Put(absl::StrCat(prefix_, kHosts, id), content)});
}

absl::Status EtcdStore::RemoveHost(const std::string& id) {
  return Commit({Delete(absl::StrCat(prefix_, kHosts, id))});
}

absl::StatusOr<std::optional<std::string>> EtcdStore::Read(absl::string_view name) const {
  HEARTH_ASSIGN_OR_RETURN(const auto value, client_.Get(absl::StrCat(prefix_, kHome, name)));
  if (!value) return std::nullopt;
  return Open(*value);
}

absl::Status EtcdStore::Write(absl::string_view name, const std::string& text) const {
  return Commit({Put(absl::StrCat(prefix_, kHome, name), text)});
}

std::string EtcdStore::RequestKey(const RequestName& name) const {
  const std::string both = absl::StrCat(name.caller.size(), ":", name.caller, name.id);
  return absl::StrCat(prefix_, kRequests, sealer_.Pseudonym(both));
}

std::string EtcdStore::TokensOf(const RequestName& name) const {
  const std::string key = RequestKey(name);
  return absl::StrCat(prefix_, kTokens, key.substr(key.rfind('/') + 1), "/");
}

etcd::RequestOp EtcdStore::Put(const std::string& key, const std::string& text) const {
  etcd::RequestOp operation;
  operation.mutable_request_put()->set_key(key);
  operation.mutable_request_put()->set_value(sealer_.Seal(key, text));
  return operation;
}

absl::Status EtcdStore::Commit(const std::vector<etcd::RequestOp>& operations) const {
  etcd::TxnRequest request;
  etcd::Compare& leads = *request.add_compare();
  leads.set_target(etcd::Compare::CREATE);
  leads.set_key(fence_.key);
  leads.set_create_revision(fence_.create_revision);
  request.mutable_success()->Assign(operations.begin(), operations.end());
  HEARTH_ASSIGN_OR_RETURN(const etcd::TxnResponse response, client_.Commit(request));
  if (response.succeeded()) return absl::OkStatus();
  return absl::FailedPreconditionError("this host does not lead the cluster any more: it writes nothing");
}

absl::StatusOr<std::string> EtcdStore::Open(const etcd::KeyValue& value) const {
  return sealer_.Open(value.key(), value.value());
}

std::vector<etcd::RequestOp> EtcdStore::Removal(const RequestName& name) const {
  return {Delete(RequestKey(name)), DeleteAll(TokensOf(name))};
}

std::vector<etcd::RequestOp> EtcdStore::PutRequest(const KeptRequest& request) const {
  const std::string stored = ToStored(request).SerializeAsString();
  if (stored.size() > kMostBytes || request.tokens.size() > kMostPieceTokens) return Removal(request.name);
  return {Put(RequestKey(request.name), stored), DeleteAll(TokensOf(request.name))};
}

etcd::RequestOp EtcdStore::Append(const RequestChanges::Tokens& piece) const {
  v1::StoredTokens stored;
  stored.mutable_tokens()->Assign(piece.tokens.begin(), piece.tokens.end());
  stored.set_used_us(absl::ToUnixMicros(piece.used));
  return Put(TokensOf(piece.name) + PlaceText(piece.first), stored.SerializeAsString());
}

}  // namespace hearth
