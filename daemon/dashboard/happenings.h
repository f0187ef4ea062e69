#ifndef HEARTH_DAEMON_DASHBOARD_HAPPENINGS_H_
#define HEARTH_DAEMON_DASHBOARD_HAPPENINGS_H_

#include <string>
#include <vector>

#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/models.pb.h"

namespace hearth {

// The cluster and its models as they were at one time.
struct HomeState {
  v1::ClusterStatus cluster;
  v1::ListModelsResponse models;
};

// Something that people want to hear of.
struct Happening {
  std::string
      kind;  // "host-joined", "host-lost", "host-gone", "host-woken", "plan", "model" or "model-failed"
  std::string text;  // one printable sentence, with the reason where it is known
};

// What has happened between two states, in words: hosts first, then models, then plans.
std::vector<Happening> HappeningsBetween(const HomeState& before, const HomeState& after);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_HAPPENINGS_H_
