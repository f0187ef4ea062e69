#include "daemon/dashboard/dashboard.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/dashboard/page_files.h"
#include "daemon/dashboard/page_stream.h"
#include "daemon/dashboard/proto_json.h"
#include "daemon/grpc_status.h"
#include "daemon/http/api_error.h"
#include "daemon/http/json_input.h"
#include "daemon/http/own_page.h"
#include "daemon/serving/encrypted_port.h"
#include "engine/base/printable.h"
#include "proto/hearth/v1/home.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"

namespace hearth {
namespace {

using nlohmann::json;
using ExchangePtr = std::shared_ptr<Exchange>;

constexpr char kJsonType[] = "application/json";
constexpr absl::string_view kFolder = "/dashboard/";

// Nothing from elsewhere, no script in the page itself, no text that becomes HTML, in no other page's frame.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri "
    "'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

HttpResponse Refused(int code, std::string message) {
  return ErrorResponse(Refusal(code, std::move(message)));
}

HttpResponse JsonResponse(std::string body) {
  return {.code = 200,
          .content_type = kJsonType,
          .headers = {{"Cache-Control", "no-store"}},
          .body = std::move(body)};
}

HttpResponse StatusResponse(const absl::Status& status) { return ErrorResponse(ToApiError(status)); }

// A call whose answer goes out as JSON.
template <class Request, class Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
  ExchangePtr exchange;
};

template <class Request, class Response>
std::function<void(grpc::Status)> Answer(const std::shared_ptr<Call<Request, Response>>& call) {
  return [call](const grpc::Status& status) {
    call->exchange->Post([call, status = FromGrpcStatus(status)] {
      call->exchange->Send(status.ok() ? JsonResponse(ProtoJson(call->response)) : StatusResponse(status));
    });
  };
}

// Begins to load a model and answers once that has begun or was refused. Deletes itself.
class LoadCall final : public grpc::ClientReadReactor<v1::ModelStatus> {
 public:
  LoadCall(v1::Models::Stub& models, v1::LoadModelRequest request, ExchangePtr exchange)
      : request_(std::move(request)), exchange_(std::move(exchange)) {
    models.async()->Load(&context_, &request_, this);
    StartRead(&first_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    begun_ = ok;
    if (ok) context_.TryCancel();  // which ends the watching alone
  }
  void OnDone(const grpc::Status& status) override {
    exchange_->Post([exchange = exchange_, begun = begun_, first = first_, status = FromGrpcStatus(status)] {
      exchange->Send(begun ? JsonResponse(ProtoJson(first)) : StatusResponse(status));
    });
    delete this;
  }

 private:
  grpc::ClientContext context_;
  const v1::LoadModelRequest request_;
  v1::ModelStatus first_;
  bool begun_ = false;
  const ExchangePtr exchange_;
};

class DashboardImpl final : public Dashboard {
 public:
  DashboardImpl(const std::shared_ptr<grpc::Channel>& channel, DashboardOptions options, HttpHandler& next)
      : options_(std::move(options)),
        next_(next),
        models_(v1::Models::NewStub(channel)),
        home_(v1::Home::NewStub(channel)),
        chronicle_(channel, options_.chronicle) {}

  void Handle(HttpRequest request, ExchangePtr exchange) override {
    if (request.path != "/" && !absl::StartsWith(request.path, kFolder)) {
      return next_.Handle(std::move(request), std::move(exchange));
    }
    Protect(*exchange);
    if (!options_.keys && !IsKnownHost(request.host)) return RefuseHost(request, *exchange);
    if (!request.origin.empty() && !IsSameOrigin(request)) {
      return exchange->Send(Refused(403, "pages of other hosts may not use the dashboard"));
    }
    if (request.method == "GET") return Get(request, std::move(exchange));
    if (request.method == "POST") return Post(request, std::move(exchange));
    exchange->Send(Refused(405, "the dashboard knows GET and POST"));
  }

  void Stop() override { chronicle_.Stop(); }

 private:
  struct Action {
    absl::string_view path;
    absl::string_view method;  // of gRPC
    void (DashboardImpl::*handler)(const json& body, ExchangePtr exchange);
  };
  static const std::array<Action, 5> kActions;

  static void Protect(Exchange& exchange) {
    exchange.AddHeader("Content-Security-Policy", kPolicy);
    exchange.AddHeader("X-Content-Type-Options", "nosniff");
    exchange.AddHeader("Referrer-Policy", "no-referrer");
    exchange.AddHeader("Cross-Origin-Opener-Policy", "same-origin");
    exchange.AddHeader("Cross-Origin-Resource-Policy", "same-origin");
  }

  // Whether no stranger can have chosen what the name stands for.
  bool IsKnownHost(const std::string& host) const {
    if (IsAddressOrLocalhost(host)) return true;
    return std::any_of(options_.allowed_origins.begin(), options_.allowed_origins.end(),
                       [&](const std::string& origin) {
                         return !host.empty() && absl::EndsWith(origin, absl::StrCat("://", host));
                       });
  }

  static void RefuseHost(const HttpRequest& request, Exchange& exchange) {
    const std::string host = Printable(request.host, kMaxNameBytes);
    exchange.Send(
        Refused(403, absl::StrCat("the dashboard is not shown under the name '", host,
                                  "', which a stranger may own: open it by the machine's address, or start "
                                  "hearthd with --http-allow-origin http://",
                                  host)));
  }

  bool MayDo(const Action& action, const HttpRequest& request) const {
    if (options_.keys) return request.role && MayCall(*request.role, action.method);
    return request.from_this_machine && IsLoopbackHost(request.host);
  }

  // Whether all that the page offers may be done.
  bool IsAdmin(const HttpRequest& request) const {
    return std::all_of(kActions.begin(), kActions.end(),
                       [&](const Action& action) { return MayDo(action, request); });
  }

  void Get(const HttpRequest& request, ExchangePtr exchange) {
    if (request.path == "/dashboard/news") return SendNews(request, std::move(exchange));
    if (request.path == "/dashboard/history") return exchange->Send(JsonResponse(chronicle_.HistoryJson()));
    const PageFile* const file = FindPageFile(request.path);
    if (file == nullptr) {
      return exchange->Send(
          Refused(404, absl::StrCat("there is nothing at ", Printable(request.path, kMaxNameBytes),
                                    "; the dashboard is at /")));
    }
    SendFile(*file, request, *exchange);
  }

  static void SendFile(const PageFile& file, const HttpRequest& request, Exchange& exchange) {
    HttpResponse response;
    response.headers = {{"ETag", std::string(file.tag)}, {"Cache-Control", "no-cache"}};
    if (absl::StrContains(request.if_none_match, file.tag)) {
      response.code = 304;
    } else {
      response.content_type = std::string(file.content_type);
      response.body = std::string(file.bytes);
    }
    exchange.Send(std::move(response));
  }

  void SendNews(const HttpRequest& request, ExchangePtr exchange) {
    const json hello = {
        {"version", options_.version}, {"coordinator", options_.coordinator}, {"admin", IsAdmin(request)}};
    if (StreamNews(chronicle_, absl::StrCat("event: hello\ndata: ", hello.dump(), "\n\n"), exchange)) return;
    exchange->Send(Refused(503, "too many pages show this dashboard: close some"));
  }

  void Post(const HttpRequest& request, ExchangePtr exchange) {
    const auto action = std::find_if(kActions.begin(), kActions.end(),
                                     [&](const Action& candidate) { return candidate.path == request.path; });
    if (action == kActions.end()) {
      return exchange->Send(
          Refused(404, absl::StrCat("nothing can be done at ", Printable(request.path, kMaxNameBytes))));
    }
    if (!MayDo(*action, request)) return exchange->Send(Refused(403, WhoMay(request)));
    if (!absl::StartsWith(request.content_type, kJsonType)) {
      return exchange->Send(Refused(415, "send the body with the header Content-Type: application/json"));
    }
    const absl::StatusOr<json> body = ParseJsonObject(request.body);
    if (!body.ok()) return exchange->Send(StatusResponse(body.status()));
    (this->*action->handler)(*body, std::move(exchange));
  }

  static std::string WhoMay(const HttpRequest& request) {
    if (request.role) {
      return "only an admin may change something: `hearth key create --api NAME --role admin` makes such a "
             "key";
    }
    return "only who sits at this machine may change something: open the dashboard there, or run `hearth` "
           "with "
           "an admin's --key";
  }

  void Load(const json& body, ExchangePtr exchange) {
    v1::LoadModelRequest request;
    absl::Status status = SetText(JsonFields(body), "path", request.mutable_path());
    status.Update(SetText(JsonFields(body), "name", request.mutable_name()));
    if (!status.ok()) return exchange->Send(StatusResponse(status));
    new LoadCall(*models_, std::move(request), std::move(exchange));
  }

  void Unload(const json& body, ExchangePtr exchange) {
    const auto call = MakeCall<v1::UnloadModelRequest, v1::UnloadModelResponse>(std::move(exchange));
    const absl::Status status = SetText(JsonFields(body), "name", call->request.mutable_name());
    if (!status.ok()) return call->exchange->Send(StatusResponse(status));
    models_->async()->Unload(&call->context, &call->request, &call->response, Answer(call));
  }

  void Invite(const json&, ExchangePtr exchange) {
    const auto call = MakeCall<v1::InviteRequest, v1::Invitation>(std::move(exchange));
    home_->async()->Invite(&call->context, &call->request, &call->response, Answer(call));
  }

  void ListMembers(const json&, ExchangePtr exchange) {
    const auto call = MakeCall<v1::ListMembersRequest, v1::ListMembersResponse>(std::move(exchange));
    home_->async()->ListMembers(&call->context, &call->request, &call->response, Answer(call));
  }

  void ForgetHost(const json& body, ExchangePtr exchange) {
    const auto call = MakeCall<v1::RemoveMemberRequest, v1::Member>(std::move(exchange));
    const absl::Status status = SetText(JsonFields(body), "member", call->request.mutable_member());
    if (!status.ok()) return call->exchange->Send(StatusResponse(status));
    call->request.set_role(v1::ROLE_HOST);
    home_->async()->RemoveMember(&call->context, &call->request, &call->response, Answer(call));
  }

  template <class Request, class Response>
  static std::shared_ptr<Call<Request, Response>> MakeCall(ExchangePtr exchange) {
    auto call = std::make_shared<Call<Request, Response>>();
    call->exchange = std::move(exchange);
    return call;
  }

  const DashboardOptions options_;
  HttpHandler& next_;
  const std::unique_ptr<v1::Models::Stub> models_;
  const std::unique_ptr<v1::Home::Stub> home_;
  Chronicle chronicle_;
};

const std::array<DashboardImpl::Action, 5> DashboardImpl::kActions = {{
    {"/dashboard/load", "/hearth.v1.Models/Load", &DashboardImpl::Load},
    {"/dashboard/unload", "/hearth.v1.Models/Unload", &DashboardImpl::Unload},
    {"/dashboard/invite", "/hearth.v1.Home/Invite", &DashboardImpl::Invite},
    {"/dashboard/members", "/hearth.v1.Home/ListMembers", &DashboardImpl::ListMembers},
    {"/dashboard/forget", "/hearth.v1.Home/RemoveMember", &DashboardImpl::ForgetHost},
}};

}  // namespace

bool IsPageFile(const HttpRequest& request) {
  return request.method == "GET" && FindPageFile(request.path) != nullptr;
}

std::unique_ptr<Dashboard> MakeDashboard(const std::shared_ptr<grpc::Channel>& channel,
                                         DashboardOptions options, HttpHandler& next) {
  return std::make_unique<DashboardImpl>(channel, std::move(options), next);
}

}  // namespace hearth
