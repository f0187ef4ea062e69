#ifndef HEARTH_DAEMON_DASHBOARD_DASHBOARD_H_
#define HEARTH_DAEMON_DASHBOARD_DASHBOARD_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "daemon/dashboard/chronicle.h"
#include "daemon/http/exchange.h"

namespace hearth {

struct DashboardOptions {
  std::string version;
  bool coordinator = true;  // whose home it is; a worker shows its coordinator's state
  // Origins by whose names the page may be asked for, besides addresses and "localhost".
  std::vector<std::string> allowed_origins;
  bool keys = false;  // every request comes through a KeyGate, which leaves IsPageFile alone
  ChronicleOptions chronicle;
};

// The web page that shows the cluster and what it asks for:
//   GET  /                          the page; its other files at /dashboard/
//   GET  /dashboard/news            server-sent events: "hello" {"version", "coordinator", "admin"}, then
//                                   Chronicle::NewsSince
//   GET  /dashboard/history         Chronicle::HistoryJson
//   POST /dashboard/load            {"path", "name"}: Models.Load, answered once it has begun
//   POST /dashboard/unload          {"name"}: Models.Unload
//   POST /dashboard/invite          {}: Home.Invite
//   POST /dashboard/members         {}: Home.ListMembers
//   POST /dashboard/forget          {"member"}: Home.RemoveMember of a host
// Answers are the messages in protobuf's JSON, errors OpenAI's. The page needs nothing from elsewhere and is
// told to take nothing. Whatever is asked under a name that a stranger may own, or by a stranger's page, is
// refused; what is posted is for programs of this machine, as the plain gRPC port's are. With keys names do
// not matter, and what is posted is for those whose role may call the method that stands behind it. All other
// paths are the next handler's.
class Dashboard : public HttpHandler {
 public:
  // Ends all streams. Idempotent; called before the HTTP server stops.
  virtual void Stop() = 0;
};

// Whether the request is for a file of the page, which tells nothing of a home.
bool IsPageFile(const HttpRequest& request);

// Everything comes from the services of `channel`. `next` outlives it.
std::unique_ptr<Dashboard> MakeDashboard(const std::shared_ptr<grpc::Channel>& channel,
                                         DashboardOptions options, HttpHandler& next);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_DASHBOARD_H_
