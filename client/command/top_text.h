#ifndef HEARTH_CLIENT_COMMAND_TOP_TEXT_H_
#define HEARTH_CLIENT_COMMAND_TOP_TEXT_H_

#include <string>

#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/models.pb.h"

namespace hearth {

// What one look at a cluster shows.
struct TopLook {
  v1::ClusterStatus cluster;
  v1::ListModelsResponse models;
  double seconds = 0;  // when it was, by any clock
};

// One picture of `hearth top`: models with their streams, queue and speed, machines with their devices and
// links, what is on its way, and what is wrong. Speeds that need two looks are those since `before`; null:
// none. Lines of at most `columns` bytes, at most `rows` of them (0: all). Pure.
std::string TopText(const TopLook& now, const TopLook* before, size_t columns, size_t rows);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_TOP_TEXT_H_
