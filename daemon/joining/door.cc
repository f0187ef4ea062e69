#include "daemon/joining/door.h"

#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/channel/tcp_listener.h"
#include "daemon/identity/tls_context.h"
#include "daemon/joining/join_protocol.h"
#include "daemon/joining/short_code.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kLinesApart{5};

// One who stands at the door: handshake, then messages in turn. Lives while one of its operations does.
class Visitor : public std::enable_shared_from_this<Visitor> {
 public:
  // A whole message of the visitor's.
  using Heard = std::function<void(const std::shared_ptr<Visitor>&, absl::Span<const uint8_t>)>;

  Visitor(tcp::socket socket, asio::ssl::context& context, std::function<void()> gone)
      : stream_(std::move(socket), context), timer_(stream_.get_executor()), gone_(std::move(gone)) {
    error_code ignored;
    address_ = stream_.lowest_layer().remote_endpoint(ignored).address();
  }
  ~Visitor() {
    if (left_) left_();
    gone_();
  }

  const asio::ip::address& address() const { return address_; }

  void Start(std::chrono::milliseconds patience, Heard heard) {
    AfterPatience(patience, [](Visitor& self) { self.SendAway(); });
    heard_ = std::move(heard);
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [self = shared_from_this()](const error_code& error) {
                              if (!error) self->ReadLength();
                            });
  }

  // Says something and hears the next message.
  void Say(std::string message, Heard heard) {
    heard_ = std::move(heard);
    Write(std::move(message), [](Visitor& self) { self.ReadLength(); });
  }
  // Says something, after which the visitor says nothing more, and ends the visit with the last word once
  // `patience` is over. `left` is called when the visit has ended.
  void LetWait(std::string message, std::chrono::milliseconds patience, std::string last_word,
               std::function<void()> left) {
    left_ = std::move(left);
    AfterPatience(patience, [word = std::move(last_word)](Visitor& self) { self.Dismiss(std::move(word)); });
    Write(std::move(message), [](Visitor& self) { self.AwaitEnd(); });
  }
  // Says the last word.
  void Dismiss(std::string message) {
    if (writes_) {
      last_word_ = std::move(message);
      return;
    }
    Write(std::move(message), [](Visitor& self) { self.SendAway(); });
  }

  void SendAway() {
    timer_.cancel();
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  using Then = void (*)(Visitor&);

  void AfterPatience(std::chrono::milliseconds patience, std::function<void(Visitor&)> then) {
    timer_.expires_after(patience);
    timer_.async_wait([weak = weak_from_this(), then = std::move(then)](const error_code& error) {
      if (const auto self = weak.lock(); self && !error) then(*self);
    });
  }

  void ReadLength() {
    message_.resize(kJoinLengthBytes);
    asio::async_read(stream_, asio::buffer(message_),
                     [self = shared_from_this()](const error_code& error, size_t) {
                       const absl::StatusOr<size_t> length =
                           error ? absl::CancelledError("gone") : DecodeJoinLength(self->message_);
                       if (length.ok()) self->ReadMessage(*length);
                     });
  }

  void ReadMessage(size_t length) {
    message_.resize(length);
    asio::async_read(stream_, asio::buffer(message_),
                     [self = shared_from_this()](const error_code& error, size_t) {
                       if (!error) std::exchange(self->heard_, nullptr)(self, self->message_);
                     });
  }

  // Anything that comes from one who waits ends the visit, as its leaving does.
  void AwaitEnd() {
    message_.resize(1);
    stream_.async_read_some(asio::buffer(message_),
                            [self = shared_from_this()](const error_code&, size_t) { self->SendAway(); });
  }

  void Write(std::string message, Then then) {
    writes_ = true;
    said_ = std::move(message);
    asio::async_write(stream_, asio::buffer(said_),
                      [self = shared_from_this(), then](const error_code& error, size_t) {
                        self->writes_ = false;
                        if (error) return self->SendAway();
                        if (self->last_word_) return self->Dismiss(*std::exchange(self->last_word_, {}));
                        then(*self);
                      });
  }

  asio::ssl::stream<tcp::socket> stream_;
  asio::steady_timer timer_;
  const std::function<void()> gone_;
  std::function<void()> left_;
  asio::ip::address address_;
  Heard heard_;
  std::vector<uint8_t> message_;
  std::string said_;
  bool writes_ = false;
  std::optional<std::string> last_word_;  // for when what is being said is said
};

// The certificate is shown to everybody, and nobody is asked for one.
absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeContext(const Home& home) {
  HEARTH_ASSIGN_OR_RETURN(const TlsContext tls, MakeTlsContext(home.live_key()));
  SSL_CTX_set_verify(tls.get(), SSL_VERIFY_NONE, nullptr);
  HEARTH_CHECK(SSL_CTX_up_ref(tls.get()) == 1);
  return std::make_unique<asio::ssl::context>(tls.get());
}

using VisitorPtr = std::shared_ptr<Visitor>;

// All but construction and destruction happens on one thread.
class AsioDoor final : public Door {
 public:
  AsioDoor(const DoorOptions& options, Home& home, std::unique_ptr<asio::ssl::context> tls)
      : options_(options),
        home_(home),
        authority_(ParseCertificate(home.key().authority_pem).value().id),
        tls_(std::move(tls)),
        port_(context_, [this](tcp::socket socket) { Receive(std::move(socket)); }) {}

  ~AsioDoor() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    HEARTH_ASSIGN_OR_RETURN(HostPort where, ParseHostPort(options_.listen));
    error_code error;
    const asio::ip::address host = asio::ip::make_address(where.host, error);
    // An address of one interface means nothing on another machine, and a join code cannot say it.
    if (!error && where.host.find('%') != std::string::npos) error = asio::error::invalid_argument;
    if (!error) error = port_.Listen({host, where.port});
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen for new hosts on ", options_.listen, ": ",
                                                 error.message(),
                                                 "; choose another address with hearthd --lan HOST:PORT"));
    }
    where.port = port_.endpoint().port();
    address_ = FormatHostPort(where);
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  std::vector<Applicant> Waiting() override {
    return OnThread<std::vector<Applicant>>([this] { return applicants_.List(Clock::now()); });
  }

  absl::StatusOr<Applicant> Decide(const std::string& code, bool refuse) override {
    return OnThread<absl::StatusOr<Applicant>>([&] { return DecideNow(code, refuse); });
  }

 private:
  using Clock = std::chrono::steady_clock;

  // What `work` finds on the door's thread.
  template <class Result, class Work>
  Result OnThread(Work work) {
    std::packaged_task<Result()> task(std::move(work));
    std::future<Result> result = task.get_future();
    asio::post(context_, [task = std::move(task)]() mutable { task(); });
    return result.get();
  }

  void Receive(tcp::socket socket) {
    const auto place = visitors_.emplace(visitors_.end());
    const auto visitor =
        std::make_shared<Visitor>(std::move(socket), *tls_, [this, place] { visitors_.erase(place); });
    MakeRoom(visitor->address());
    *place = visitor;
    visitor->Start(options_.patience, [this](const auto& self, auto message) { HearOpening(self, message); });
  }

  void HearOpening(const VisitorPtr& visitor, absl::Span<const uint8_t> message) {
    const absl::StatusOr<JoinOpening> opening = DecodeJoinOpening(message);
    if (!opening.ok()) return visitor->Dismiss(EncodeJoinAnswer(opening.status()));
    if (const auto* request = std::get_if<JoinRequest>(&*opening)) {
      return visitor->Dismiss(EncodeJoinAnswer(
          Admit(home_.Admit(request->secret, request->signing_request_pem), visitor->address().to_string())));
    }
    const absl::Status greeted = applicants_.Greet(NetworkOf(visitor->address()), Clock::now());
    if (!greeted.ok())
      return visitor->Dismiss(EncodeJoinNonce(Refuse(greeted, visitor->address().to_string())));
    const JoinNonce nonce = MakeJoinNonce();
    visitor->Say(EncodeJoinNonce(nonce),
                 [this, nonce, commitment = std::get<Sha256Digest>(*opening)](const auto& self, auto bytes) {
                   const absl::Status waits = LetWait(self, commitment, nonce, bytes);
                   if (!waits.ok())
                     self->Dismiss(EncodeJoinWaiting(Refuse(waits, self->address().to_string())));
                 });
  }

  absl::Status LetWait(const VisitorPtr& visitor, const Sha256Digest& commitment, const JoinNonce& nonce,
                       absl::Span<const uint8_t> message) {
    HEARTH_ASSIGN_OR_RETURN(const JoinReveal reveal, DecodeJoinReveal(message));
    if (CommitmentTo(reveal) != commitment)
      return absl::PermissionDeniedError("this is not what the host has committed itself to: try again");
    HEARTH_ASSIGN_OR_RETURN(const SigningRequest request, ParseSigningRequest(reveal.signing_request_pem));
    Applicant applicant{.code = ShortCodeOf(reveal, nonce, authority_),
                        .name = request.name,
                        .id = request.id,
                        .address = visitor->address().to_string(),
                        .signing_request_pem = request.pem,
                        .since = Clock::now()};
    HEARTH_ASSIGN_OR_RETURN(const Applicants::Ticket ticket,
                            applicants_.Add(applicant, NetworkOf(visitor->address())));
    waiting_[ticket] = visitor;
    visitor->LetWait(EncodeJoinWaiting(absl::OkStatus()), options_.applicants_patience,
                     EncodeJoinAnswer(absl::DeadlineExceededError(absl::StrCat(
                         "nobody has let this host in within ",
                         absl::FormatDuration(absl::FromChrono(options_.applicants_patience)),
                         ": start it again and type its new code after `hearth approve` on the coordinator's "
                         "machine"))),
                     [this, ticket] {
                       applicants_.Remove(ticket);
                       waiting_.erase(ticket);
                     });
    spdlog::info("host {} ({}) at {} waits to be let in: `hearth approve` with the code that it shows",
                 applicant.name, applicant.id.Short(), applicant.address);
    return absl::OkStatus();
  }

  absl::StatusOr<Applicant> DecideNow(const std::string& code, bool refuse) {
    HEARTH_ASSIGN_OR_RETURN(const Applicants::Taken taken, applicants_.Take(code, Clock::now()));
    const Applicant& applicant = taken.applicant;
    const absl::StatusOr<JoinAnswer> answer =
        Admit(refuse ? absl::PermissionDeniedError("the coordinator's user has refused this host")
                     : home_.AdmitApproved(applicant.signing_request_pem),
              applicant.address);
    const auto waiting = waiting_.find(taken.ticket);
    HEARTH_CHECK(waiting != waiting_.end());
    if (const VisitorPtr visitor = waiting->second.lock()) visitor->Dismiss(EncodeJoinAnswer(answer));
    if (!refuse && !answer.ok()) return answer.status();
    return applicant;
  }

  // For one more from this address.
  void MakeRoom(const asio::ip::address& address) {
    std::vector<std::shared_ptr<Visitor>> present;
    std::vector<std::string> networks;
    for (const std::weak_ptr<Visitor>& weak : visitors_) {
      const auto visitor = weak.lock();
      if (visitor == nullptr) continue;
      present.push_back(visitor);
      networks.push_back(NetworkOf(visitor->address()));
    }
    const auto leaving = WhoMakesRoom(networks, NetworkOf(address), options_.per_address, options_.visitors);
    if (leaving) present[*leaving]->SendAway();
  }

  // What one who is admitted with this certificate is told, or one who is not.
  absl::StatusOr<JoinAnswer> Admit(absl::StatusOr<std::string> certificate, const std::string& from) {
    if (!certificate.ok()) return Refuse(certificate.status(), from);
    const absl::StatusOr<Certificate> parsed = ParseCertificate(*certificate);
    HEARTH_CHECK(parsed.ok());
    spdlog::info("host {} ({}) joins the home from {}", parsed->name, parsed->id.Short(), from);
    return JoinAnswer{*std::move(certificate), options_.grpc_port};
  }

  absl::Status Refuse(const absl::Status& why, const std::string& from) {
    if (const auto left_out = limiter_.Allow()) {
      spdlog::warn("refused to let {} join: {} ({} similar lines left out)", from, Printable(why.message()),
                   *left_out);
    }
    return why;
  }

  const DoorOptions options_;
  Home& home_;
  const HostId authority_;
  LogLimiter limiter_{kLinesApart};
  std::string address_;
  const std::unique_ptr<asio::ssl::context> tls_;
  // These outlive the visitors.
  std::list<std::weak_ptr<Visitor>> visitors_;  // in the order in which they came
  Applicants applicants_;
  std::map<Applicants::Ticket, std::weak_ptr<Visitor>> waiting_;  // of them
  asio::io_context context_{1};
  TcpListener port_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Door>> Door::Open(const DoorOptions& options, Home& home) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<asio::ssl::context> tls, MakeContext(home));
  auto door = std::make_unique<AsioDoor>(options, home, std::move(tls));
  HEARTH_RETURN_IF_ERROR(door->Listen());
  return door;
}

}  // namespace hearth
