#include "daemon/standby/worker_role.h"

#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/coordinator_stub.h"
#include "daemon/grpc_status.h"
#include "daemon/identity/home.h"
#include "daemon/identity/identity_files.h"
#include "daemon/standby/home_state.h"
#include "daemon/standby/lead_answers.h"
#include "daemon/standby/succession.h"
#include "daemon/state/sqlite_store.h"
#include "engine/base/input_file.h"
#include "engine/base/mutex.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/channel.h"
#include "proto/hearth/v1/standby.grpc.pb.h"

namespace hearth {
namespace {

constexpr std::chrono::seconds kFetchesApart{1};
constexpr std::chrono::seconds kFetchPatience{3};
constexpr absl::Duration kAskPatience = absl::Seconds(2);
constexpr uint64_t kMostStateBytes = 4 << 20;  // what gRPC takes
constexpr unsigned kStateMode = 0600;

// What is done by a thread of its own, so that no call waits for others.
class WorkerRole final : public StandbyRole {
 public:
  WorkerRole(StandbyOptions options, CoordinatorAddresses coordinators)
      : options_(std::move(options)),
        state_path_(options_.state_dir + "/standby-state"),
        coordinators_(std::move(coordinators)),
        stubs_(options_.key, [](const std::string& address, const ConnectionKey& key) {
          return OpenChannel(address, key);
        }) {
    if (options_.sealer) thread_ = std::thread([this] { Run(); });
  }

  ~WorkerRole() override {
    {
      MutexLock lock(&mutex_);
      stopped_ = true;
    }
    wake_.SignalAll();
    if (thread_.joinable()) thread_.join();
  }

  bool Leads() const override { return false; }
  bool IsOver() const override { return over_; }
  void Stand(const v1::Leader& place) override {
    MutexLock lock(&mutex_);
    place_ = place;
  }
  PlacesToLead Places() const override { return {}; }

  v1::Lead WhoLeads(const v1::WhoLeadsRequest&) override {
    v1::Lead lead;
    lead.set_host(options_.host);
    return lead;
  }
  absl::StatusOr<v1::SealedHomeState> HomeState(const v1::HomeStateRequest&) override {
    return absl::UnavailableError(absl::StrCat(options_.host, " is a worker and leads no home"));
  }

  void Promote(bool force, Promoted promoted) override {
    if (!options_.sealer) {
      return promoted(absl::FailedPreconditionError(
          "this host is no standby: it has none of the home's keys. Start hearthd with --standby FILE, here "
          "and on the coordinator while that lives"));
    }
    {
      MutexLock lock(&mutex_);
      if (!stopped_ && !promoted_ && !took_lead_) {
        force_ = force;
        promoted_ = std::move(promoted);
        wake_.SignalAll();
        return;
      }
    }
    promoted(absl::UnavailableError("this host is being promoted already, or stops"));
  }

 private:
  void Run() {
    for (;;) {
      Fetch();
      if (!AwaitTurn()) return;
    }
  }

  // Waits until the state is to be fetched again, and promotes meanwhile where that is asked for. False at
  // the end.
  bool AwaitTurn() {
    const auto next = CondVar::Clock::now() + kFetchesApart;
    MutexLock lock(&mutex_);
    while (!stopped_ && !promoted_ && wake_.WaitUntil(&mutex_, next)) {
    }
    if (!promoted_) return !stopped_;
    const bool force = force_, stops = stopped_;
    lock.Unlock();
    const absl::StatusOr<v1::PromoteResponse> response =
        stops ? absl::UnavailableError("this host stops") : TakeLead(force);
    lock.Lock();
    took_lead_ = response.ok();
    const Promoted promoted = std::exchange(promoted_, nullptr);
    lock.Unlock();
    promoted(response);  // while there is still a server that can say so
    over_ = response.ok();
    lock.Lock();
    return !stopped_ && !took_lead_;
  }

  void Fetch() {
    const absl::Status fetched = TryFetch();
    const std::string problem(fetched.message());
    // One that cannot be reached is the worker's to tell.
    if (!fetched.ok() && !absl::IsUnavailable(fetched) && problem != warned_)
      spdlog::warn("this host could not take the lead: {}", Printable(problem));
    warned_ = problem;
  }

  absl::Status TryFetch() {
    v1::HomeStateRequest request;
    {
      MutexLock lock(&mutex_);
      if (place_.host().empty()) return absl::UnavailableError("its place is not known yet");
      request.set_sealed_place(SealPlace(place_, *options_.sealer));
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kFetchPatience);
    v1::SealedHomeState answer;
    const grpc::Status called = stubs_.Of(coordinators_.current())->GetHomeState(&context, request, &answer);
    if (!called.ok()) return FromGrpcStatus(called);
    HEARTH_ASSIGN_OR_RETURN(const v1::HomeState state, OpenHomeState(answer.sealed(), *options_.sealer));
    if (kept_ && google::protobuf::util::MessageDifferencer::Equals(state, *kept_)) return absl::OkStatus();
    HEARTH_ASSIGN_OR_RETURN(const Term term, TermOf(state));
    if (const absl::StatusOr<v1::HomeState> former = ReadState(); former.ok()) {
      const absl::StatusOr<Term> kept = TermOf(*former);
      if (kept.ok() && term.IsBefore(*kept)) {
        return absl::UnavailableError(absl::StrCat("it leads in term ", term.number,
                                                   " of the home, and this host has "
                                                   "the state of term ",
                                                   kept->number));
      }
    }
    HEARTH_RETURN_IF_ERROR(WriteFile(state_path_, answer.sealed(), Replace::kRegularFile, kStateMode));
    if (!kept_)
      spdlog::info("has the state of the home of {}, and may take its lead",
                   Printable(state.leader().host()));
    kept_ = state;
    return absl::OkStatus();
  }

  absl::StatusOr<v1::HomeState> ReadState() const {
    const absl::StatusOr<std::string> sealed = ReadInputFile(state_path_, kMostStateBytes);
    if (sealed.ok()) return OpenHomeState(*sealed, *options_.sealer);
    return absl::FailedPreconditionError(
        absl::StrCat("this host has no state of the home yet", warned_.empty() ? "" : ": ", warned_));
  }

  std::vector<LeadAnswer> AskOthers() const {
    std::string own;
    {
      MutexLock lock(&mutex_);
      own = AddressOf(place_);
    }
    const std::vector<std::string> addresses = absl::StrSplit(coordinators_.text(), ',', absl::SkipEmpty());
    std::vector<LeadQuestion> questions;
    for (const std::string& address : addresses) {
      if (address != own) questions.push_back({address, options_.key.get()});
    }
    return AskAllWhoLeads(questions, kAskPatience);
  }

  absl::StatusOr<v1::PromoteResponse> TakeLead(bool force) {
    HEARTH_ASSIGN_OR_RETURN(const v1::HomeState state, ReadState());
    HEARTH_RETURN_IF_ERROR(CheckPromotion(AskOthers(), force));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<v1::Succession> known, ReadSuccession(options_.state_dir));
    HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(options_.state_dir));
    HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<StateStore> store,
                            OpenSqliteStore(options_.state_dir + "/state.sqlite"));
    HEARTH_ASSIGN_OR_RETURN(v1::Succession succession, NewSuccession(state));
    HEARTH_RETURN_IF_ERROR(TakeHomeState(state, files, *store));
    if (known && known->home() == succession.home())
      succession.set_term(std::max(succession.term(), known->term() + 1));
    HEARTH_RETURN_IF_ERROR(WriteSuccession(options_.state_dir, succession));
    spdlog::warn("{} takes the lead of the home of {} (term {})", options_.host,
                 Printable(state.leader().host()), succession.term());
    v1::PromoteResponse response;
    response.set_former(state.leader().host());
    response.set_term(succession.term());
    for (const std::string& model : MissingModels(state, options_.find_model))
      response.add_missing_models(model);
    return response;
  }

  // In which this host leads after the one that has left this state.
  absl::StatusOr<v1::Succession> NewSuccession(const v1::HomeState& state) const {
    HEARTH_ASSIGN_OR_RETURN(const Term former, TermOf(state));
    v1::Succession succession;
    succession.set_home(former.home);
    succession.set_term(former.number + 1);
    for (const v1::Leader& standby : state.standbys()) {
      if (standby.host() != options_.host) NoteStandby(standby, succession);
    }
    // It may have been cut off, and lead still.
    NoteStandby(state.leader(), succession);
    return succession;
  }

  const StandbyOptions options_;
  const std::string state_path_;
  const CoordinatorAddresses coordinators_;
  CoordinatorStub<v1::Standby::Stub> stubs_;

  // Of the thread.
  std::optional<v1::HomeState> kept_;  // as it is on the disk; nullopt: not fetched since the start
  std::string warned_;                 // why it could not be fetched; empty: it could

  std::atomic<bool> over_{false};
  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  v1::Leader place_ ABSL_GUARDED_BY(mutex_);
  bool took_lead_ ABSL_GUARDED_BY(mutex_) = false;
  bool force_ ABSL_GUARDED_BY(mutex_) = false;
  Promoted promoted_ ABSL_GUARDED_BY(mutex_);  // whom to tell, until that is done; null: nobody asks
  std::thread thread_;                         // last: it uses the others
};

}  // namespace

std::unique_ptr<StandbyRole> MakeWorkerRole(StandbyOptions options, CoordinatorAddresses coordinators) {
  return std::make_unique<WorkerRole>(std::move(options), std::move(coordinators));
}

}  // namespace hearth
