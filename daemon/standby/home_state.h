#ifndef HEARTH_DAEMON_STANDBY_HOME_STATE_H_
#define HEARTH_DAEMON_STANDBY_HOME_STATE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/etcd/sealer.h"
#include "daemon/identity/home_files.h"
#include "daemon/model_host.h"
#include "daemon/state/state_store.h"
#include "daemon/term.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

// The texts of a coordinator's home and the models that it has. What it does not say (leader, term, standbys)
// the caller adds. FAILED_PRECONDITION where its authority is missing.
absl::StatusOr<v1::HomeState> CollectHomeState(const HomeFiles& files, absl::Span<const ModelInfo> models);

// The other way: what was collected becomes this host's, in place of what it had. FAILED_PRECONDITION, and
// nothing is changed, where the home's authority is missing or damaged.
absl::Status TakeHomeState(const v1::HomeState& state, const HomeFiles& files, StateStore& store);

// The id of a home, by its authority's certificate. FAILED_PRECONDITION for one that is damaged.
absl::StatusOr<std::string> HomeIdOf(absl::string_view authority_pem);

// The home of a state and the term of who has left it. FAILED_PRECONDITION as above.
absl::StatusOr<Term> TermOf(const v1::HomeState& state);

// As it travels, and lies on a standby's disk.
std::string SealHomeState(const v1::HomeState& state, const Sealer& sealer);
// FAILED_PRECONDITION where it was sealed with another secret, or is damaged.
absl::StatusOr<v1::HomeState> OpenHomeState(absl::string_view sealed, const Sealer& sealer);

// Where a standby would lead, likewise: who sends it shows that it has the secret.
std::string SealPlace(const v1::Leader& place, const Sealer& sealer);
absl::StatusOr<v1::Leader> OpenPlace(absl::string_view sealed, const Sealer& sealer);

// The models of a state that this host cannot open: `find` says under which path it would.
std::vector<std::string> MissingModels(const v1::HomeState& state,
                                       const std::function<std::string(const std::string& path)>& find);

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_HOME_STATE_H_
