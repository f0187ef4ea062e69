#ifndef HEARTH_CLIENT_COMMAND_STATUS_TEXT_H_
#define HEARTH_CLIENT_COMMAND_STATUS_TEXT_H_

#include <string>
#include <vector>

#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/models.pb.h"

namespace hearth {

// The plan of a model; null where there is none.
const v1::PlanStatus* PlanOf(const v1::ClusterStatus& cluster, const std::string& model);

// A sentence for each thing that is wrong, and what to do.
std::vector<std::string> ProblemsOf(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models);

// What `hearth status` shows to people first: what runs where, how fast it is, whether anything is wrong and
// what to do about it. Pure. All figures are in DetailsText (display.h).
std::string StatusText(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_STATUS_TEXT_H_
