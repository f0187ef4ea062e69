#ifndef HEARTH_CLIENT_COMMAND_DISPLAY_H_
#define HEARTH_CLIENT_COMMAND_DISPLAY_H_

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/generation.pb.h"
#include "proto/hearth/v1/home.pb.h"
#include "proto/hearth/v1/models.pb.h"

namespace hearth {

// What `hearth` shows to people; all pure. Several lines end with a line feed each, a single line has none.

// The state of a host or a model: "alive", "loading".
std::string StateName(const google::protobuf::Message& message);

// One line about a model: name, state, progress, kind.
std::string ModelLine(const v1::ModelStatus& model);

// What the model's tokens are computed of, and why: "exact: ReLU leaves neurons silent". Empty: not known.
std::string SparsityLine(const v1::ModelStatus& model);

// What stands behind a progress bar: "1.6 GiB of 4.0 GiB  sending weights".
std::string LoadingText(const v1::ModelStatus& model);

// Hosts with their devices, links, transfers, models and plans: all figures. For people first: status_text.h.
std::string DetailsText(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models);

// How many neurons of each layer every device has computed, one line per layer.
std::string NeuronsText(const v1::PlanStatus& plan);

// "for throughput:8: 38.3 tokens/s expected, 40.1 measured": what the plan is to make fast.
std::string ObjectiveText(const v1::PlanStatus& plan);
// Where that is tokens of single streams, other figures tell as much.
bool IsForOtherThanLatency(const v1::PlanStatus& plan);

// The plan in words, with its figures.
std::string PlanText(const v1::PlanStatus& plan);

// Hosts that wait to be let in, one line each, and what to do about them.
std::string ApplicantsText(const v1::ListApplicantsResponse& response);

// Members of the home with one of the roles, one line each: name, short id, state or role, last day of the
// certificate. States come from `cluster`; null: roles are shown.
std::string MembersText(const v1::ListMembersResponse& members, bool hosts, const v1::ClusterStatus* cluster);

// How the host may be woken where it is away; null: it is here or cannot be woken.
const v1::AwayHost* FindAway(const v1::ClusterStatus& cluster, const std::string& host);
// Those that are not among the hosts as well, as one that was lost a moment ago is.
std::vector<const v1::AwayHost*> AwayAlone(const v1::ClusterStatus& cluster);
// By which command: "`hearth wake study` wakes it".
std::string WakeAdvice(const std::string& host);
// What was sent to whom, a line for each host.
std::string WokenText(const v1::WakeResponse& response);

// What the owner of a key ought to know: that it does not hold, or ends within a month, and what to do. Empty
// where there is nothing to say.
std::string KeyWarning(const ConnectionKey& key, absl::Time now);

// "42 tokens at 31.5 tokens/s; prompt of 12 tokens read in 0.10 s; ended by the length limit".
std::string SummaryText(const v1::Finished& finished);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_DISPLAY_H_
