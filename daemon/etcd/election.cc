#include "daemon/etcd/election.h"

#include <spdlog/spdlog.h>
#include <time.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace etcd = ::etcdserverpb;

constexpr std::chrono::milliseconds kLookApart{200};
// Of a lease's life: how often it is renewed, and how much earlier than etcd this host takes it for over, for
// clocks that do not run alike.
constexpr int kRenewals = 6;
constexpr int kMargin = 10;
// For how long a host that is away counts among those that could lead, and how often that is renewed. A
// daemon that starts anew takes less.
constexpr absl::Duration kPlaceLife = absl::Seconds(30);
constexpr int64_t kKeepPlaceApartNs = 10'000'000'000;
constexpr int64_t kReadHostsApartNs = 1'000'000'000;
constexpr int64_t kMostHosts = 64;

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t EndOfLease(int64_t begun_ns, absl::Duration life) {
  return begun_ns + absl::ToInt64Nanoseconds(life - life / kMargin);
}

void Expect(etcd::TxnRequest& request, const std::string& key, etcd::Compare::CompareTarget target,
            int64_t revision) {
  etcd::Compare& compare = *request.add_compare();
  compare.set_key(key);
  compare.set_target(target);
  if (target == etcd::Compare::CREATE) {
    compare.set_create_revision(revision);
  } else {
    compare.set_mod_revision(revision);
  }
}

void AddPut(etcd::TxnRequest& request, const std::string& key, const std::string& value, int64_t lease = 0) {
  etcd::PutRequest& put = *request.add_success()->mutable_request_put();
  put.set_key(key);
  put.set_value(value);
  put.set_lease(lease);
}

}  // namespace

Election::Election(std::unique_ptr<EtcdClient> client, ElectionOptions options)
    : client_(std::move(client)),
      options_(std::move(options)),
      leader_key_(options_.prefix + "leader"),
      term_key_(options_.prefix + "term"),
      hosts_prefix_(options_.prefix + "hosts/") {
  record_.set_host(options_.host);
  thread_ = std::thread([this] { Run(); });
}

Election::~Election() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  wake_.SignalAll();
  thread_.join();
  if (leads_until_ns_.exchange(0) != 0) (void)client_->RevokeLease(lease_.id);
}

bool Election::Leads() const {
  const int64_t until = leads_until_ns_;
  return until != 0 && NowNs() < until;
}

Election::Standing Election::standing() const {
  MutexLock lock(&mutex_);
  return standing_;
}

void Election::Campaign() {
  MutexLock lock(&mutex_);
  campaigns_ = true;
  wake_.SignalAll();
}

void Election::Announce(const v1::Leader& leader) {
  MutexLock lock(&mutex_);
  if (record_.SerializeAsString() == leader.SerializeAsString()) return;
  record_ = leader;
  record_is_due_ = true;
  wake_.SignalAll();
}

void Election::Stand(const v1::Leader& place) {
  MutexLock lock(&mutex_);
  if (place_.SerializeAsString() == place.SerializeAsString()) return;
  place_ = place;
  place_is_due_ = true;
}

void Election::Resign() {
  leads_until_ns_ = 0;
  MutexLock lock(&mutex_);
  resigns_ = leads_;
  campaigns_ = false;
  wake_.SignalAll();
}

void Election::Run() {
  const std::chrono::nanoseconds renewals_apart = absl::ToChronoNanoseconds(options_.lease / kRenewals);
  MutexLock lock(&mutex_);
  while (!stopped_) {
    const bool leads = leads_;
    lock.Unlock();
    if (leads) {
      Renew();
    } else {
      Look();
    }
    lock.Lock();
    const auto next =
        CondVar::Clock::now() + (leads_ ? renewals_apart : std::chrono::nanoseconds(kLookApart));
    while (!stopped_ && !resigns_ && !(leads_ && record_is_due_) && wake_.WaitUntil(&mutex_, next)) {
    }
  }
}

void Election::Renew() {
  bool resigns = false, record_is_due = false;
  int64_t create_revision = 0;
  {
    MutexLock lock(&mutex_);
    resigns = std::exchange(resigns_, false);
    record_is_due = std::exchange(record_is_due_, false);
    create_revision = standing_.fence.create_revision;
  }
  if (resigns) {
    (void)client_->RevokeLease(lease_.id);
    return EndTerm(absl::CancelledError("this host has given up the lead"));
  }
  const int64_t begun_ns = NowNs();
  const absl::StatusOr<absl::Duration> life = client_->RenewLease(lease_.id);
  absl::Status problem = life.status();
  if (life.ok()) {
    // Never anew once it was over: others may have led since.
    int64_t until = leads_until_ns_;
    if (until != 0 && NowNs() < until)
      leads_until_ns_.compare_exchange_strong(until, EndOfLease(begun_ns, *life));
    const auto key = client_->Get(leader_key_);
    problem = key.status();
    if (key.ok() && (!key->has_value() || (*key)->create_revision() != create_revision)) {
      return EndTerm(absl::AbortedError("somebody has removed the leader's key from the store"));
    }
  }
  if (problem.ok() && record_is_due) problem = PutRecord();
  if (absl::IsNotFound(problem)) return EndTerm(absl::AbortedError("its lease in the store has ended"));
  if (!Leads()) {
    return EndTerm(absl::UnavailableError(
        absl::StrCat("the lease could not be renewed in time: ",
                     problem.ok() ? "the store has answered too late" : problem.message())));
  }
  const bool record_failed = !problem.ok() && record_is_due;
  if (problem.ok()) problem = KeepPlace();
  if (problem.ok()) problem = ReadHosts();
  MutexLock lock(&mutex_);
  if (record_failed) record_is_due_ = true;
  if (!problem.ok() && standing_.problem.ok()) {
    spdlog::warn("leads on while its lease holds: {}", Printable(problem.message()));
  }
  standing_.problem = problem;
}

void Election::Look() {
  const auto key = client_->Get(leader_key_);
  if (!key.ok()) {
    MutexLock lock(&mutex_);
    standing_.problem = key.status();  // whoever led may do so still
    return;
  }
  absl::Status kept = KeepPlace();
  if (kept.ok()) kept = ReadHosts();
  if (key->has_value()) {
    v1::Leader leader;
    const bool sound = leader.ParseFromString((*key)->value()) && leader.host() != options_.host;
    return Note(kept, sound ? std::optional(leader) : std::nullopt);
  }
  bool campaigns = false;
  {
    MutexLock lock(&mutex_);
    campaigns = campaigns_;
  }
  Note(campaigns ? TryToLead() : kept, std::nullopt);
}

absl::Status Election::TryToLead() {
  HEARTH_ASSIGN_OR_RETURN(const auto last, client_->Get(term_key_));
  uint64_t term = 0;
  if (last && !absl::SimpleAtoi(last->value(), &term)) {
    return absl::FailedPreconditionError(
        absl::StrCat("etcd's key ", term_key_, " is no number: choose another prefix, or mend it"));
  }
  lease_begun_ns_ = NowNs();
  HEARTH_ASSIGN_OR_RETURN(lease_, client_->GrantLease(options_.lease));
  etcd::TxnRequest request;
  Expect(request, leader_key_, etcd::Compare::CREATE, 0);
  Expect(request, term_key_, etcd::Compare::MOD, last ? last->mod_revision() : 0);
  std::string record;
  {
    MutexLock lock(&mutex_);
    record_.Clear();
    record_.set_host(options_.host);
    record_is_due_ = false;
    record = record_.SerializeAsString();
  }
  AddPut(request, leader_key_, record, lease_.id);
  AddPut(request, term_key_, absl::StrCat(term + 1));
  const absl::StatusOr<etcd::TxnResponse> response = client_->Commit(request);
  if (response.ok() && response->succeeded()) {
    BeginTerm(term + 1, response->header().revision());
    return absl::OkStatus();
  }
  // Where no answer came this host may lead without knowing: not for longer than that.
  (void)client_->RevokeLease(std::exchange(lease_, {}).id);
  return response.status();
}

void Election::BeginTerm(uint64_t term, int64_t create_revision) {
  leads_until_ns_ = EndOfLease(lease_begun_ns_, lease_.life);
  MutexLock lock(&mutex_);
  standing_.term = term;
  standing_.ended = absl::OkStatus();
  standing_.fence = {leader_key_, create_revision};
  campaigns_ = false;
  resigns_ = false;
  leads_ = true;
}

void Election::EndTerm(const absl::Status& why) {
  leads_until_ns_ = 0;
  lease_ = {};
  MutexLock lock(&mutex_);
  leads_ = false;
  resigns_ = false;
  standing_.ended = why;
}

absl::Status Election::PutRecord() {
  etcd::TxnRequest request;
  {
    MutexLock lock(&mutex_);
    Expect(request, leader_key_, etcd::Compare::CREATE, standing_.fence.create_revision);
    AddPut(request, leader_key_, record_.SerializeAsString(), lease_.id);
  }
  return client_->Commit(request).status();
}

absl::Status Election::KeepPlace() {
  std::string place;
  bool is_due = false;
  {
    MutexLock lock(&mutex_);
    if (!place_.address().empty() || !place_.encrypted_address().empty()) place = place_.SerializeAsString();
    is_due = place_is_due_;
  }
  const int64_t now = NowNs();
  if (place.empty() || (!is_due && now < place_kept_ns_ + kKeepPlaceApartNs)) return absl::OkStatus();
  if (place_lease_.id != 0) {
    const absl::Status renewed = client_->RenewLease(place_lease_.id).status();
    if (absl::IsNotFound(renewed)) place_lease_ = {};
    if (!renewed.ok() && place_lease_.id != 0) return renewed;
  }
  if (place_lease_.id == 0) {
    HEARTH_ASSIGN_OR_RETURN(place_lease_, client_->GrantLease(kPlaceLife));
    is_due = true;
  }
  if (is_due) {
    etcd::TxnRequest request;
    AddPut(request, hosts_prefix_ + options_.host, place, place_lease_.id);
    const absl::Status put = client_->Commit(request).status();
    if (!put.ok()) place_lease_ = {};  // it may have ended; written anew with another one
    HEARTH_RETURN_IF_ERROR(put);
  }
  place_kept_ns_ = now;
  MutexLock lock(&mutex_);
  if (place_.SerializeAsString() == place) place_is_due_ = false;
  return absl::OkStatus();
}

absl::Status Election::ReadHosts() {
  const int64_t now = NowNs();
  if (now < hosts_read_ns_ + kReadHostsApartNs) return absl::OkStatus();
  etcd::RangeRequest range;
  range.set_key(hosts_prefix_);
  range.set_range_end(EndOfPrefix(hosts_prefix_));
  range.set_limit(kMostHosts);
  HEARTH_ASSIGN_OR_RETURN(const etcd::RangeResponse response, client_->Range(range));
  std::vector<v1::Leader> hosts;
  for (const etcd::KeyValue& value : response.kvs()) {
    v1::Leader host;
    if (host.ParseFromString(value.value())) hosts.push_back(std::move(host));
  }
  hosts_read_ns_ = now;
  MutexLock lock(&mutex_);
  standing_.hosts = std::move(hosts);
  return absl::OkStatus();
}

void Election::Note(const absl::Status& problem, std::optional<v1::Leader> leader) {
  MutexLock lock(&mutex_);
  standing_.problem = problem;
  standing_.leader = std::move(leader);
}

}  // namespace hearth
