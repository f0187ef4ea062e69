#include "engine/jinja/parser.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"

namespace hearth::jinja {
namespace {

constexpr int kMaxLevels = 120;  // statements and brackets within one another

using ExpressionOr = absl::StatusOr<const Expression*>;

struct BinaryName {
  std::string_view name;
  BinaryOperator op;
};
constexpr BinaryName kSums[] = {{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSubtract}};
constexpr BinaryName kProducts[] = {{"*", BinaryOperator::kMultiply},
                                    {"/", BinaryOperator::kDivide},
                                    {"//", BinaryOperator::kFloorDivide},
                                    {"%", BinaryOperator::kModulo}};
constexpr BinaryName kPowers[] = {{"**", BinaryOperator::kPower}};
constexpr std::pair<std::string_view, Comparison> kComparisons[] = {
    {"==", Comparison::kEqual},     {"!=", Comparison::kNotEqual}, {"<", Comparison::kLess},
    {"<=", Comparison::kLessEqual}, {">", Comparison::kGreater},   {">=", Comparison::kGreaterEqual}};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
    for (const char* name : kKnownNames) Intern(name);
  }

  absl::StatusOr<Tree> Run() {
    HEARTH_ASSIGN_OR_RETURN(tree_.body, ParseBody({}));
    return std::move(tree_);
  }

 private:
  // -- Tokens.

  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool IsOperator(std::string_view op, size_t ahead = 0) const {
    return Peek(ahead).kind == TokenKind::kOperator && Peek(ahead).text == op;
  }
  bool IsName(std::string_view name, size_t ahead = 0) const {
    return Peek(ahead).kind == TokenKind::kName && Peek(ahead).text == name;
  }
  Token Next() { return at_ + 1 < tokens_.size() ? std::move(tokens_[at_++]) : tokens_.back(); }
  bool SkipOperator(std::string_view op) { return IsOperator(op) && (++at_, true); }
  bool SkipName(std::string_view name) { return IsName(name) && (++at_, true); }

  absl::Status Error(std::string_view message) const { return ErrorAt(Peek().position, message); }
  absl::Status Expected(std::string_view what) const {
    return Error(absl::StrCat("expected ", AbslView(what), ", found ", Describe(Peek())));
  }
  absl::Status ExpectOperator(std::string_view op) {
    return SkipOperator(op) ? absl::OkStatus() : Expected(absl::StrCat("'", AbslView(op), "'"));
  }
  absl::Status ExpectBlockEnd() {
    if (Peek().kind != TokenKind::kBlockEnd) return Expected("the end of the tag");
    ++at_;
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> ExpectName() {
    if (Peek().kind != TokenKind::kName) return Expected("a name");
    return Next().text;
  }

  static std::string Describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::kData:
        return "text";
      case TokenKind::kVariableBegin:
        return "'{{'";
      case TokenKind::kVariableEnd:
        return "'}}'";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kString:
        return "a string";
      case TokenKind::kEnd:
        return "the end of the template";
      default:
        return absl::StrCat("'", token.text, "'");
    }
  }

  // -- Nodes.

  template <typename Form>
  const Expression* Make(Position position, Form form) {
    tree_.expressions.push_back({position, std::move(form)});
    return &tree_.expressions.back();
  }
  template <typename Form>
  void Append(Body& body, Position position, Form form) {
    tree_.statements.push_back({position, std::move(form)});
    body.push_back(&tree_.statements.back());
  }
  NameId Intern(const std::string& name) {
    const auto [found, added] = name_ids_.emplace(name, static_cast<NameId>(tree_.names.size()));
    if (added) tree_.names.push_back(name);
    return found->second;
  }

  // Counts levels of nesting while it lives.
  class Level {
   public:
    explicit Level(int& levels) : levels_(levels) { ++levels_; }
    ~Level() { --levels_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& levels_;
  };
  absl::Status CheckNesting() const {
    if (levels_ <= kMaxLevels) return absl::OkStatus();
    return Error(absl::StrCat("the template nests more than ", kMaxLevels, " levels deep"));
  }

  // -- Statements.

  // Up to a tag whose name is one of `ends`, which becomes the next token (behind "{%"), or to the end of the
  // template where there are none.
  absl::StatusOr<Body> ParseBody(const std::vector<std::string_view>& ends) {
    const Level level(levels_);
    HEARTH_RETURN_IF_ERROR(CheckNesting());
    const Position begin = Peek().position;
    Body body;
    for (;;) {
      const Position position = Peek().position;
      switch (Peek().kind) {
        case TokenKind::kEnd:
          if (ends.empty()) return body;
          return ErrorAt(begin,
                         absl::StrCat("the block that begins here has no {% ", AbslView(ends.back()), " %}"));
        case TokenKind::kData:
          Append(body, position, Data{Next().text});
          break;
        case TokenKind::kVariableBegin: {
          ++at_;
          HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseTuple());
          if (Peek().kind != TokenKind::kVariableEnd) return Expected("'}}'");
          ++at_;
          Append(body, position, Output{value});
          break;
        }
        default: {
          ++at_;  // "{%"; nothing else can follow a tag's end
          for (std::string_view end : ends) {
            if (IsName(end)) return body;
          }
          HEARTH_RETURN_IF_ERROR(ParseStatement(body));
        }
      }
    }
  }

  // The rest of an opening tag and the body behind it; the end tag's name is consumed and returned.
  absl::StatusOr<std::string> ParseBlock(const std::vector<std::string_view>& ends, Body* body) {
    SkipOperator(":");
    HEARTH_RETURN_IF_ERROR(ExpectBlockEnd());
    HEARTH_ASSIGN_OR_RETURN(*body, ParseBody(ends));
    return Next().text;
  }
  // Likewise, the whole end tag.
  absl::Status ParseWholeBlock(std::string_view end, Body* body) {
    HEARTH_RETURN_IF_ERROR(ParseBlock({end}, body).status());
    return ExpectBlockEnd();
  }

  absl::Status ParseStatement(Body& body) {
    const Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(const std::string tag, ExpectName());
    if (tag == "if") return ParseIf(body, position);
    if (tag == "for") return ParseFor(body, position);
    if (tag == "set") return ParseSet(body, position);
    if (tag == "macro") return ParseMacro(body, position);
    if (tag == "call") return ParseCallBlock(body, position);
    if (tag == "filter") return ParseFilterBlock(body, position);
    if (tag == "with") return ParseWith(body, position);
    if (tag == "print") return ParsePrint(body);
    if (tag == "generation") {
      Scope scope;
      HEARTH_RETURN_IF_ERROR(OutsideOfLoop([&] { return ParseWholeBlock("endgeneration", &scope.body); }));
      Append(body, position, std::move(scope));
      return absl::OkStatus();
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) return ErrorAt(position, absl::StrCat("'", tag, "' stands outside of a loop"));
      tag == "break" ? Append(body, position, Break{}) : Append(body, position, Continue{});
      return ExpectBlockEnd();
    }
    for (std::string_view other : {"extends", "block", "include", "import", "from", "autoescape"}) {
      if (tag == other) {
        return absl::UnimplementedError(absl::StrCat("line ", position.line, ", column ", position.column,
                                                     ": {% ", tag, " %} has no place in a chat template"));
      }
    }
    return ErrorAt(position, absl::StrCat("unknown tag '", tag, "'"));
  }

  absl::Status ParseIf(Body& body, Position position) {
    If statement;
    std::string next = "elif";
    while (next == "elif") {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const condition, ParseTuple(/*with_conditional=*/false));
      Body branch;
      HEARTH_ASSIGN_OR_RETURN(next, ParseBlock({"elif", "else", "endif"}, &branch));
      statement.branches.emplace_back(condition, std::move(branch));
    }
    if (next == "else") {
      HEARTH_RETURN_IF_ERROR(ParseBlock({"endif"}, &statement.otherwise).status());
    }
    Append(body, position, std::move(statement));
    return ExpectBlockEnd();
  }

  absl::Status ParseFor(Body& body, Position position) {
    For loop;
    HEARTH_ASSIGN_OR_RETURN(loop.target, ParseTarget(/*with_attribute=*/false, "in"));
    if (!SkipName("in")) return Expected("'in'");
    HEARTH_ASSIGN_OR_RETURN(loop.iterable, ParseTuple(/*with_conditional=*/false, "recursive"));
    loop.condition = nullptr;
    if (SkipName("if")) {
      HEARTH_ASSIGN_OR_RETURN(loop.condition, ParseExpression());
    }
    loop.recursive = SkipName("recursive");
    ++loops_;
    auto next = ParseBlock({"else", "endfor"}, &loop.body);
    --loops_;
    HEARTH_RETURN_IF_ERROR(next.status());
    if (*next == "else") {
      HEARTH_RETURN_IF_ERROR(ParseBlock({"endfor"}, &loop.otherwise).status());
    }
    Append(body, position, std::move(loop));
    return ExpectBlockEnd();
  }

  absl::Status ParseSet(Body& body, Position position) {
    HEARTH_ASSIGN_OR_RETURN(Target target, ParseTarget(/*with_attribute=*/true, ""));
    if (SkipOperator("=")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseTuple());
      Append(body, position, Set{std::move(target), value});
      return ExpectBlockEnd();
    }
    SetBlock block{std::move(target), nullptr, {}};
    HEARTH_ASSIGN_OR_RETURN(block.filter, ParseFilters(nullptr));
    HEARTH_RETURN_IF_ERROR(ParseWholeBlock("endset", &block.body));
    Append(body, position, std::move(block));
    return absl::OkStatus();
  }

  // Statements in `parse` are no part of a loop around it, and those names mentioned there count for
  // `*macro`.
  template <typename Function>
  absl::Status OutsideOfLoop(Function parse) {
    const int loops = std::exchange(loops_, 0);
    absl::Status status = parse();
    loops_ = loops;
    return status;
  }
  absl::Status ParseMacroBody(std::string_view end, MacroBody* macro) {
    macros_.push_back(macro);
    absl::Status status = OutsideOfLoop([&] { return ParseWholeBlock(end, &macro->body); });
    macros_.pop_back();
    for (const Parameter& parameter : macro->parameters) {
      if (parameter.name == kVarargsName) macro->uses_varargs = false;
      if (parameter.name == kKwargsName) macro->uses_kwargs = false;
      if (parameter.name == kCallerName) macro->uses_caller = false;
    }
    return status;
  }

  absl::Status ParseMacro(Body& body, Position position) {
    Macro statement;
    HEARTH_ASSIGN_OR_RETURN(statement.macro.name, ExpectName());
    statement.name = Intern(statement.macro.name);
    HEARTH_ASSIGN_OR_RETURN(statement.macro.parameters, ParseParameters());
    HEARTH_RETURN_IF_ERROR(ParseMacroBody("endmacro", &statement.macro));
    Append(body, position, std::move(statement));
    return absl::OkStatus();
  }

  absl::Status ParseCallBlock(Body& body, Position position) {
    CallBlock statement;
    statement.caller.name = "caller";
    if (IsOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(statement.caller.parameters, ParseParameters());
    }
    HEARTH_ASSIGN_OR_RETURN(statement.call, ParseExpression());
    if (!std::holds_alternative<Call>(statement.call->form)) {
      return ErrorAt(position, "a call block needs a call, such as {% call name() %}");
    }
    HEARTH_RETURN_IF_ERROR(ParseMacroBody("endcall", &statement.caller));
    Append(body, position, std::move(statement));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Parameter>> ParseParameters() {
    std::vector<Parameter> parameters;
    HEARTH_RETURN_IF_ERROR(ExpectOperator("("));
    while (!IsOperator(")")) {
      if (!parameters.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      HEARTH_ASSIGN_OR_RETURN(const std::string name, ExpectName());
      Parameter parameter{Intern(name), nullptr};
      if (SkipOperator("=")) {
        HEARTH_ASSIGN_OR_RETURN(parameter.fallback, ParseExpression());
      } else if (!parameters.empty() && parameters.back().fallback != nullptr) {
        return Error("a parameter without default follows one with a default");
      }
      parameters.push_back(parameter);
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
    return parameters;
  }

  absl::Status ParseFilterBlock(Body& body, Position position) {
    FilterBlock statement;
    HEARTH_ASSIGN_OR_RETURN(statement.filter, ParseFilter(nullptr));
    HEARTH_ASSIGN_OR_RETURN(statement.filter, ParseFilters(statement.filter));
    HEARTH_RETURN_IF_ERROR(ParseWholeBlock("endfilter", &statement.body));
    Append(body, position, std::move(statement));
    return absl::OkStatus();
  }

  absl::Status ParseWith(Body& body, Position position) {
    With statement;
    while (Peek().kind != TokenKind::kBlockEnd) {
      if (!statement.values.empty()) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      HEARTH_ASSIGN_OR_RETURN(Target target, ParseTarget(/*with_attribute=*/false, ""));
      HEARTH_RETURN_IF_ERROR(ExpectOperator("="));
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      statement.values.emplace_back(std::move(target), value);
    }
    HEARTH_RETURN_IF_ERROR(ParseWholeBlock("endwith", &statement.body));
    Append(body, position, std::move(statement));
    return absl::OkStatus();
  }

  absl::Status ParsePrint(Body& body) {
    for (bool first = true; Peek().kind != TokenKind::kBlockEnd; first = false) {
      if (!first) HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
      const Position position = Peek().position;
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      Append(body, position, Output{value});
    }
    return ExpectBlockEnd();
  }

  // `end`: a name that ends the target, such as "in".
  absl::StatusOr<Target> ParseTarget(bool with_attribute, std::string_view end) {
    HEARTH_ASSIGN_OR_RETURN(Target first, ParseOneTarget(with_attribute));
    if (!IsOperator(",")) return first;
    Target tuple;
    tuple.position = first.position;
    tuple.tuple = true;
    tuple.parts.push_back(std::move(first));
    while (SkipOperator(",")) {
      if (IsTupleEnd(end) || IsOperator("=")) break;
      HEARTH_ASSIGN_OR_RETURN(Target part, ParseOneTarget(with_attribute));
      tuple.parts.push_back(std::move(part));
    }
    return tuple;
  }

  absl::StatusOr<Target> ParseOneTarget(bool with_attribute) {
    const Level level(levels_);
    HEARTH_RETURN_IF_ERROR(CheckNesting());
    Target target;
    target.position = Peek().position;
    if (SkipOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(target, ParseTarget(with_attribute, ""));
      HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
      return target;
    }
    HEARTH_ASSIGN_OR_RETURN(const std::string name, ExpectName());
    for (std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant)
        return ErrorAt(target.position, absl::StrCat("nothing can be assigned to '", name, "'"));
    }
    target.name = Intern(name);
    if (with_attribute && SkipOperator(".")) {
      HEARTH_ASSIGN_OR_RETURN(target.attribute, ExpectName());
    }
    return target;
  }

  // -- Expressions, from the loosest operator to the tightest.

  bool IsTupleEnd(std::string_view end) const {
    return Peek().kind == TokenKind::kVariableEnd || Peek().kind == TokenKind::kBlockEnd || IsOperator(")") ||
           (!end.empty() && IsName(end));
  }

  // One expression, or several with commas between them, which make a tuple. `end`: a name behind it.
  ExpressionOr ParseTuple(bool with_conditional = true, std::string_view end = "",
                          bool may_be_empty = false) {
    const Position position = Peek().position;
    ListLiteral tuple{.items = {}, .tuple = true};
    bool comma = false;
    while (!IsTupleEnd(end)) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const item, with_conditional ? ParseExpression() : ParseOr());
      tuple.items.push_back(item);
      if (!SkipOperator(",")) break;
      comma = true;
    }
    if (!comma && tuple.items.size() == 1) return tuple.items[0];
    if (!comma && !may_be_empty) return Expected("an expression");
    return Make(position, std::move(tuple));
  }

  ExpressionOr ParseExpression() {
    const Level level(levels_);
    HEARTH_RETURN_IF_ERROR(CheckNesting());
    Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(const Expression* value, ParseOr());
    while (SkipName("if")) {
      Conditional conditional{nullptr, value, nullptr};
      HEARTH_ASSIGN_OR_RETURN(conditional.condition, ParseOr());
      if (SkipName("else")) {
        HEARTH_ASSIGN_OR_RETURN(conditional.otherwise, ParseExpression());
      }
      value = Make(position, conditional);
    }
    return value;
  }

  ExpressionOr ParseOr() {
    HEARTH_ASSIGN_OR_RETURN(const Expression* left, ParseAnd());
    for (Position position = Peek().position; SkipName("or"); position = Peek().position) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const right, ParseAnd());
      left = Make(position, Logical{false, left, right});
    }
    return left;
  }

  ExpressionOr ParseAnd() {
    HEARTH_ASSIGN_OR_RETURN(const Expression* left, ParseNot());
    for (Position position = Peek().position; SkipName("and"); position = Peek().position) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const right, ParseNot());
      left = Make(position, Logical{true, left, right});
    }
    return left;
  }

  ExpressionOr ParseNot() {
    const Position position = Peek().position;
    if (!SkipName("not")) return ParseComparisons();
    const Level level(levels_);
    HEARTH_RETURN_IF_ERROR(CheckNesting());
    HEARTH_ASSIGN_OR_RETURN(const Expression* const operand, ParseNot());
    return Make(position, Unary{UnaryOperator::kNot, operand});
  }

  std::optional<Comparison> SkipComparison() {
    for (const auto& [name, comparison] : kComparisons) {
      if (SkipOperator(name)) return comparison;
    }
    if (SkipName("in")) return Comparison::kIn;
    if (!IsName("not") || !IsName("in", 1)) return std::nullopt;
    at_ += 2;
    return Comparison::kNotIn;
  }

  ExpressionOr ParseComparisons() {
    const Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(const Expression* const first, ParseSum());
    Comparisons comparisons{first, {}};
    while (const auto comparison = SkipComparison()) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const right, ParseSum());
      comparisons.rest.emplace_back(*comparison, right);
    }
    return comparisons.rest.empty() ? first : Make(position, std::move(comparisons));
  }

  // Operands with operators of `names` between them, from left to right.
  template <size_t n>
  ExpressionOr ParseLeftToRight(const BinaryName (&names)[n], ExpressionOr (Parser::*operand)()) {
    HEARTH_ASSIGN_OR_RETURN(const Expression* left, (this->*operand)());
    for (size_t i = 0; i < n;) {
      const Position position = Peek().position;
      if (!SkipOperator(names[i].name)) {
        ++i;
        continue;
      }
      HEARTH_ASSIGN_OR_RETURN(const Expression* const right, (this->*operand)());
      left = Make(position, Binary{names[i].op, left, right});
      i = 0;
    }
    return left;
  }

  ExpressionOr ParseSum() { return ParseLeftToRight(kSums, &Parser::ParseConcatenation); }
  ExpressionOr ParseProduct() { return ParseLeftToRight(kProducts, &Parser::ParsePower); }
  ExpressionOr ParsePower() { return ParseLeftToRight(kPowers, &Parser::ParseUnaryWithFilters); }

  ExpressionOr ParseConcatenation() {
    const Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(const Expression* const first, ParseProduct());
    Concatenation concatenation{{first}};
    while (SkipOperator("~")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const part, ParseProduct());
      concatenation.parts.push_back(part);
    }
    return concatenation.parts.size() == 1 ? first : Make(position, std::move(concatenation));
  }

  ExpressionOr ParseUnaryWithFilters() {
    HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseUnary());
    return ParseFiltersAndTests(value);
  }

  ExpressionOr ParseUnary() {
    const Level level(levels_);
    HEARTH_RETURN_IF_ERROR(CheckNesting());
    const Position position = Peek().position;
    if (IsOperator("-") || IsOperator("+")) {
      const UnaryOperator op = Next().text == "-" ? UnaryOperator::kMinus : UnaryOperator::kPlus;
      HEARTH_ASSIGN_OR_RETURN(const Expression* const operand, ParseUnary());
      return ParsePostfix(Make(position, Unary{op, operand}));
    }
    HEARTH_ASSIGN_OR_RETURN(const Expression* const primary, ParsePrimary());
    return ParsePostfix(primary);
  }

  ExpressionOr ParsePrimary() {
    const Position position = Peek().position;
    switch (Peek().kind) {
      case TokenKind::kName:
        return ParseName(position);
      case TokenKind::kString: {
        std::string text;
        while (Peek().kind == TokenKind::kString) text += Next().text;
        return Make(position, Constant{Value::Constant(text)});
      }
      case TokenKind::kInteger:
        return Make(position, Constant{Value(Next().integer)});
      case TokenKind::kFloat:
        return Make(position, Constant{Value(Next().real)});
      default:
        break;
    }
    if (SkipOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseTuple(true, "", /*may_be_empty=*/true));
      HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
      return value;
    }
    if (SkipOperator("[")) return ParseList(position);
    if (SkipOperator("{")) return ParseDict(position);
    return Expected("an expression");
  }

  ExpressionOr ParseName(Position position) {
    const std::string name = Next().text;
    if (name == "true" || name == "True") return Make(position, Constant{Value(true)});
    if (name == "false" || name == "False") return Make(position, Constant{Value(false)});
    if (name == "none" || name == "None") return Make(position, Constant{Value()});
    const NameId id = Intern(name);
    for (MacroBody* const macro : macros_) {
      macro->uses_varargs |= id == kVarargsName;
      macro->uses_kwargs |= id == kKwargsName;
      macro->uses_caller |= id == kCallerName;
    }
    return Make(position, Name{id});
  }

  ExpressionOr ParseList(Position position) {
    ListLiteral list;
    while (!IsOperator("]")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const item, ParseExpression());
      list.items.push_back(item);
      if (!SkipOperator(",")) break;
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("]"));
    return Make(position, std::move(list));
  }

  ExpressionOr ParseDict(Position position) {
    DictLiteral dict;
    while (!IsOperator("}")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const key, ParseExpression());
      HEARTH_RETURN_IF_ERROR(ExpectOperator(":"));
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      dict.entries.emplace_back(key, value);
      if (!SkipOperator(",")) break;
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("}"));
    return Make(position, std::move(dict));
  }

  ExpressionOr ParsePostfix(const Expression* value) {
    for (;;) {
      const Position position = Peek().position;
      if (IsOperator("(")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseCall(value));
      } else if (SkipOperator(".")) {
        if (Peek().kind == TokenKind::kInteger) {
          value = Make(position, Subscript{value, Make(position, Constant{Value(Next().integer)})});
        } else {
          HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectName());
          value = Make(position, Attribute{value, std::move(name)});
        }
      } else if (SkipOperator("[")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseSubscript(value, position));
      } else {
        return value;
      }
    }
  }

  ExpressionOr ParseSubscript(const Expression* object, Position position) {
    const Expression* parts[3] = {nullptr, nullptr, nullptr};
    bool slice = false;
    for (int part = 0; part < 3 && !IsOperator("]"); ++part) {
      if (!IsOperator(":")) {
        HEARTH_ASSIGN_OR_RETURN(parts[part], ParseExpression());
      }
      if (part == 2 || !SkipOperator(":")) break;
      slice = true;
    }
    if (!slice && IsOperator(",")) return ParseTupleSubscript(object, parts[0], position);
    if (!slice && parts[0] == nullptr) return Expected("an index");
    HEARTH_RETURN_IF_ERROR(ExpectOperator("]"));
    return slice ? Make(position, Slice{object, parts[0], parts[1], parts[2]})
                 : Make(position, Subscript{object, parts[0]});
  }

  ExpressionOr ParseTupleSubscript(const Expression* object, const Expression* first, Position position) {
    ListLiteral tuple{.items = {first}, .tuple = true};
    while (SkipOperator(",")) {
      HEARTH_ASSIGN_OR_RETURN(const Expression* const item, ParseExpression());
      tuple.items.push_back(item);
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator("]"));
    return Make(position, Subscript{object, Make(position, std::move(tuple))});
  }

  ExpressionOr ParseCall(const Expression* callee) {
    const Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(CallArguments arguments, ParseArguments());
    return Make(position, Call{callee, std::move(arguments)});
  }

  absl::StatusOr<CallArguments> ParseArguments() {
    CallArguments arguments;
    HEARTH_RETURN_IF_ERROR(ExpectOperator("("));
    for (bool first = true; !IsOperator(")"); first = false) {
      if (!first) {
        HEARTH_RETURN_IF_ERROR(ExpectOperator(","));
        if (IsOperator(")")) break;
      }
      HEARTH_RETURN_IF_ERROR(ParseArgument(arguments));
    }
    HEARTH_RETURN_IF_ERROR(ExpectOperator(")"));
    return arguments;
  }

  absl::Status ParseArgument(CallArguments& arguments) {
    const bool spread = arguments.spread != nullptr || arguments.named_spread != nullptr;
    if (SkipOperator("*")) {
      if (spread) return Error("'*' stands behind another '*' or '**' in a call");
      HEARTH_ASSIGN_OR_RETURN(arguments.spread, ParseExpression());
    } else if (SkipOperator("**")) {
      if (arguments.named_spread != nullptr) return Error("'**' stands twice in a call");
      HEARTH_ASSIGN_OR_RETURN(arguments.named_spread, ParseExpression());
    } else if (Peek().kind == TokenKind::kName && IsOperator("=", 1)) {
      if (arguments.named_spread != nullptr) return Error("a named argument stands behind '**'");
      std::string name = Next().text;
      ++at_;
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      arguments.named.emplace_back(std::move(name), value);
    } else {
      if (spread || !arguments.named.empty())
        return Error("an argument without name stands behind named ones");
      HEARTH_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      arguments.positional.push_back(value);
    }
    return absl::OkStatus();
  }

  ExpressionOr ParseFiltersAndTests(const Expression* value) {
    for (;;) {
      if (IsOperator("|")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseFilters(value));
      } else if (IsName("is")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseTest(value));
      } else if (IsOperator("(")) {
        HEARTH_ASSIGN_OR_RETURN(value, ParseCall(value));
      } else {
        return value;
      }
    }
  }

  // "| name(...)" as often as it stands here; `value` is null for a block's text, and returned where none
  // does.
  ExpressionOr ParseFilters(const Expression* value) {
    while (SkipOperator("|")) {
      HEARTH_ASSIGN_OR_RETURN(value, ParseFilter(value));
    }
    return value;
  }

  ExpressionOr ParseFilter(const Expression* operand) {
    const Position position = Peek().position;
    HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectDottedName());
    Filter filter{operand, std::move(name), {}};
    if (IsOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(filter.arguments, ParseArguments());
    }
    return Make(position, std::move(filter));
  }

  absl::StatusOr<std::string> ExpectDottedName() {
    HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectName());
    while (SkipOperator(".")) {
      HEARTH_ASSIGN_OR_RETURN(const std::string part, ExpectName());
      absl::StrAppend(&name, ".", part);
    }
    return name;
  }

  // Whether the token behind a test's name is its argument.
  bool IsTestArgument() const {
    switch (Peek().kind) {
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return true;
      case TokenKind::kName:
        return !IsName("else") && !IsName("or") && !IsName("and");
      default:
        return IsOperator("[") || IsOperator("{");
    }
  }

  ExpressionOr ParseTest(const Expression* operand) {
    const Position position = Next().position;
    const bool negated = SkipName("not");
    HEARTH_ASSIGN_OR_RETURN(std::string name, ExpectDottedName());
    Test test{operand, std::move(name), {}, negated};
    if (IsOperator("(")) {
      HEARTH_ASSIGN_OR_RETURN(test.arguments, ParseArguments());
    } else if (IsTestArgument()) {
      if (IsName("is")) return Error("tests cannot be chained with 'is'");
      HEARTH_ASSIGN_OR_RETURN(const Expression* const primary, ParsePrimary());
      HEARTH_ASSIGN_OR_RETURN(const Expression* const argument, ParsePostfix(primary));
      test.arguments.positional.push_back(argument);
    }
    return Make(position, std::move(test));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Tree tree_;
  absl::flat_hash_map<std::string, NameId> name_ids_;
  int levels_ = 0;
  int loops_ = 0;                   // around the current statement, within the same macro
  std::vector<MacroBody*> macros_;  // around the current statement
};

}  // namespace

absl::StatusOr<Tree> Parse(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", source.size(), " bytes; at most ", kMaxTemplateBytes, " are read"));
  }
  HEARTH_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace hearth::jinja
