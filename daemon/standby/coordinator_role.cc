#include "daemon/standby/coordinator_role.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/identity_files.h"
#include "daemon/repeater.h"
#include "daemon/standby/home_state.h"
#include "daemon/standby/lead_answers.h"
#include "daemon/standby/succession.h"
#include "engine/base/mutex.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr absl::Duration kLooksApart = absl::Milliseconds(500);
constexpr absl::Duration kPatience = absl::Seconds(1);

void WarnUnlessKept(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("who leads the home is not remembered: {}", Printable(status.message()));
}

class CoordinatorRole final : public StandbyRole {
 public:
  CoordinatorRole(StandbyOptions options, v1::Succession succession,
                  std::function<std::vector<ModelInfo>()> models)
      : options_(std::move(options)),
        models_(std::move(models)),
        succession_(std::move(succession)),
        looks_(kLooksApart, [this] { LookForSuccessor(); }) {}

  bool Leads() const override { return leads_; }
  bool IsOver() const override { return !leads_; }

  void Stand(const v1::Leader& place) override {
    MutexLock lock(&mutex_);
    place_ = place;
  }

  PlacesToLead Places() const override {
    MutexLock lock(&mutex_);
    std::vector<v1::Leader> hosts(succession_.standbys().begin(), succession_.standbys().end());
    if (!hosts.empty()) hosts.insert(hosts.begin(), place_);
    PlacesToLead places = PlacesOf(hosts);
    places.term = {succession_.home(), succession_.term()};
    return places;
  }

  v1::Lead WhoLeads(const v1::WhoLeadsRequest& request) override {
    const std::optional<v1::Leader> other = PlaceOfWhoAsks(request);
    MutexLock lock(&mutex_);
    if (other && CheckPlace(*other, place_).ok()) heard_of_ = other;
    v1::Lead lead;
    lead.set_host(options_.host);
    lead.set_leads(leads_);
    lead.set_home(succession_.home());
    lead.set_term(succession_.term());
    return lead;
  }

  absl::StatusOr<v1::SealedHomeState> HomeState(const v1::HomeStateRequest& request) override {
    if (!options_.sealer) {
      return absl::FailedPreconditionError(
          "the coordinator has no standbys: start it with --standby and the same secret file");
    }
    HEARTH_ASSIGN_OR_RETURN(const v1::Leader place, OpenPlace(request.sealed_place(), *options_.sealer));
    HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(options_.state_dir));
    HEARTH_ASSIGN_OR_RETURN(v1::HomeState state, CollectHomeState(files, models_()));
    MutexLock lock(&mutex_);
    if (place_.host().empty())
      return absl::UnavailableError(absl::StrCat(options_.host, " is still starting"));
    HEARTH_RETURN_IF_ERROR(CheckPlace(place, place_));
    if (v1::Succession noted = succession_; NoteStandby(place, noted)) {
      // Written before the standby has the state: one that has taken the lead has to be found again.
      HEARTH_RETURN_IF_ERROR(WriteSuccession(options_.state_dir, noted));
      succession_ = std::move(noted);
      spdlog::info("{} may take the lead, at {}", Printable(place.host()), Printable(AddressOf(place)));
    }
    *state.mutable_leader() = place_;
    state.set_term(succession_.term());
    *state.mutable_standbys() = succession_.standbys();
    v1::SealedHomeState sealed;
    sealed.set_sealed(SealHomeState(state, *options_.sealer));
    return sealed;
  }

  void Promote(bool, Promoted promoted) override {
    promoted(absl::FailedPreconditionError(absl::StrCat(options_.host, " leads the home already")));
  }

 private:
  // nullopt for one that does not say that it leads, or does not show the secret.
  std::optional<v1::Leader> PlaceOfWhoAsks(const v1::WhoLeadsRequest& request) const {
    if (request.sealed_place().empty() || !options_.sealer) return std::nullopt;
    absl::StatusOr<v1::Leader> place = OpenPlace(request.sealed_place(), *options_.sealer);
    if (!place.ok() || place->host() == options_.host) return std::nullopt;
    return *std::move(place);
  }

  void LookForSuccessor() {
    if (!leads_) return;
    v1::Succession succession;
    v1::WhoLeadsRequest request;
    {
      MutexLock lock(&mutex_);
      succession = succession_;
      if (heard_of_) NoteStandby(*std::exchange(heard_of_, std::nullopt), succession);
      if (options_.sealer && !place_.host().empty())
        request.set_sealed_place(SealPlace(place_, *options_.sealer));
    }
    const std::optional<v1::Succession> successor =
        FindSuccessor(succession, options_.host, options_.key.get(), kPatience, request);
    if (!successor) return;
    MutexLock lock(&mutex_);
    leads_ = false;
    WarnUnlessKept(WriteSuccession(options_.state_dir, *successor));
    spdlog::warn("{} has taken the lead of the home (term {}): this host gives no tokens and works for it",
                 Printable(successor->leader().host()), successor->term());
  }

  const StandbyOptions options_;
  const std::function<std::vector<ModelInfo>()> models_;
  std::atomic<bool> leads_{true};
  mutable Mutex mutex_;
  v1::Leader place_ ABSL_GUARDED_BY(mutex_);
  v1::Succession succession_ ABSL_GUARDED_BY(mutex_);
  // Leads as well, as it says; asked at the next look.
  std::optional<v1::Leader> heard_of_ ABSL_GUARDED_BY(mutex_);
  const Repeater looks_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<StandbyRole> MakeCoordinatorRole(StandbyOptions options, v1::Succession succession,
                                                 std::function<std::vector<ModelInfo>()> models) {
  return std::make_unique<CoordinatorRole>(std::move(options), std::move(succession), std::move(models));
}

std::optional<v1::Succession> FindSuccessor(const v1::Succession& succession, const std::string& host,
                                            const ConnectionKey& key, absl::Duration patience,
                                            const v1::WhoLeadsRequest& request) {
  std::vector<LeadQuestion> questions;
  for (const v1::Leader& standby : succession.standbys()) {
    const bool plain = standby.encrypted_address().empty();
    questions.push_back({AddressOf(standby), plain ? ConnectionKey() : key});
  }
  const std::vector<LeadAnswer> answers = AskAllWhoLeads(questions, patience, request);
  std::optional<v1::Succession> next;
  v1::Lead highest;
  for (size_t i = 0; i < answers.size(); ++i) {
    const v1::Lead& lead = answers[i].lead;
    if (!Outranks(lead, {succession.home(), succession.term()}, host)) continue;
    if (next && !Outranks(lead, {highest.home(), highest.term()}, highest.host())) continue;
    highest = lead;
    next.emplace();
    next->set_home(lead.home());
    next->set_term(lead.term());
    *next->mutable_leader() = succession.standbys(static_cast<int>(i));
  }
  return next;
}

}  // namespace hearth
