#ifndef HEARTH_CLIENT_COMMAND_PLAN_PICTURE_H_
#define HEARTH_CLIENT_COMMAND_PLAN_PICTURE_H_

#include <string>

#include "proto/hearth/v1/cluster.pb.h"

namespace hearth {

// An SVG picture of who holds which neurons: a bar per layer, first layer on top, cut among the devices by
// how many they hold. Within a bar devices stand from hot to cold, by the share of their neurons that has
// been computed under the plan, and are the paler the less that is; while nothing is known all are full. A
// legend tells what each device holds in all.
std::string PlanPicture(const v1::PlanStatus& plan);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_PLAN_PICTURE_H_
