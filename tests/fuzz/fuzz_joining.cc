// Whatever a stranger sends, or a person types, is refused, or is what it says: join codes, host ids,
// messages of joining, signing requests and certificates. The first byte chooses.
#include <openssl/bio.h>
#include <openssl/pem.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/identity/base32.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/host_id.h"
#include "daemon/identity/join_code.h"
#include "daemon/identity/members.h"
#include "daemon/joining/join_protocol.h"
#include "engine/base/check.h"
#include "proto/certificates.h"
#include "proto/connection_key.h"

namespace hearth {
namespace {

void CheckCode(const std::string& text) {
  const auto code = ParseJoinCode(text);
  if (code.ok()) HEARTH_CHECK(ParseJoinCode(FormatJoinCode(*code)).value() == *code);
}

// A code of version 1 whose length and check sum are right, whatever is between them.
std::string CodeAround(absl::Span<const uint8_t> body) {
  std::vector<uint8_t> bytes = {1, static_cast<uint8_t>(body.size() + 6)};
  bytes.insert(bytes.end(), body.begin(), body.end());
  const Sha256Digest sum = Sha256Of(bytes);
  bytes.insert(bytes.end(), sum.begin(), sum.begin() + 4);
  return absl::StrCat("hearth", EncodeBase32(bytes));
}

std::string PemOf(const char* kind, absl::Span<const uint8_t> der) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio(out.get(), kind, "", der.data(), static_cast<long>(der.size()));
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

void CheckCertificate(const std::string& pem) {
  (void)ParseCertificate(pem);
  (void)LifeOf(pem);
  (void)CheckCoordinator(pem, pem, absl::UnixEpoch());
}

void CheckRequest(const std::string& pem) {
  const auto request = ParseSigningRequest(pem);
  if (request.ok()) HEARTH_CHECK(!request->name.empty());
}

// A request that is signed as it has to be, for any name.
void CheckName(const std::string& name) {
  static const std::string key = MakePrivateKey();
  const auto request = MakeSigningRequest(key, name);
  if (request.ok()) CheckRequest(*request);
}

void Check(uint8_t kind, absl::Span<const uint8_t> input) {
  const std::string text(input.begin(), input.end());
  if (kind == 0) {
    CheckCode(text);
  } else if (kind == 1) {
    const auto id = ParseHostId(text);
    if (id.ok()) HEARTH_CHECK(ParseHostId(id->Text()).value() == *id);
  } else if (kind == 2) {
    (void)DecodeJoinOpening(input);
    (void)DecodeJoinNonce(input);
    (void)DecodeJoinReveal(input);
    (void)DecodeJoinWaiting(input);
    (void)DecodeJoinAnswer(input);
  } else if (kind == 3) {
    CheckRequest(text);
  } else if (kind == 4) {
    CheckCertificate(text);
  } else if (kind == 5) {
    const auto members = Members::Parse(text);
    if (members.ok()) HEARTH_CHECK(Members::Parse(members->Format()).ok());
  } else if (kind == 6) {
    (void)ParseConnectionKey(text);
  } else if (kind == 7) {
    CheckCode(CodeAround(input));
  } else if (kind == 8) {
    CheckRequest(PemOf("CERTIFICATE REQUEST", input));
    CheckCertificate(PemOf("CERTIFICATE", input));
  } else {
    CheckName(text);
  }
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) hearth::Check(data[0] % 10, {data + 1, size - 1});
  return 0;
}
