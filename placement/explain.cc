#include "placement/explain.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "placement/plan_time.h"
#include "placement/units.h"

namespace hearth::placement {
namespace {

// "a", "a and b", "a, b and c".
std::string JoinWithAnd(const std::vector<std::string>& parts) {
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    absl::StrAppend(&text, i + 1 == parts.size() ? " and " : ", ", parts[i]);
  }
  return text;
}

std::string SpeedText(const Expectation& expected) {
  return absl::StrFormat("%.1f tokens/s", expected.tokens_per_second());
}

class Explainer {
 public:
  Explainer(const Cluster& cluster, const Model& model, const Plan& plan, const Comparisons& comparisons)
      : cluster_(cluster), model_(model), plan_(plan), comparisons_(comparisons) {
    for (const Section& section : model.sections) group_count_ += section.groups.size();
  }

  std::vector<std::string> Run() {
    lines_.push_back(TimeLine());
    for (const DeviceUse& use : plan_.devices) {
      if (use.groups > 0 || IsLeaderDevice(use)) lines_.push_back(DeviceLine(use));
    }
    if (comparisons_.unforced_us) {
      lines_.push_back(ForcedLine());
    } else if (cluster_.leader_only_leads) {
      // What its host would save is not what decides.
    } else if (!comparisons_.alone_us || UsesDisk(cluster_, plan_)) {
      lines_.push_back(NoMemoryLine());
    } else if (AnyRemoteShare()) {
      lines_.push_back(SavingLine());
    }
    for (size_t h = 0; h < cluster_.hosts.size(); ++h) {
      if (h != cluster_.leader && GroupsOf(h) == 0) lines_.push_back(UnusedHostLine(h));
    }
    for (const DeviceUse& use : plan_.devices) {
      const bool host_is_used =
          use.device.host == cluster_.leader ? !cluster_.leader_only_leads : GroupsOf(use.device.host) > 0;
      if (use.groups == 0 && host_is_used) lines_.push_back(UnusedDeviceLine(use));
    }
    lines_.push_back(OtherStepsSentence(plan_));
    return std::move(lines_);
  }

 private:
  const std::string& LeaderName() const { return cluster_.hosts[cluster_.leader].name; }

  const Device& DeviceOf(const DeviceUse& use) const {
    return cluster_.hosts[use.device.host].devices[use.device.device];
  }

  std::string NameOf(const DeviceUse& use) const {
    return absl::StrCat(cluster_.hosts[use.device.host].name, "/", DeviceOf(use).name);
  }

  bool IsLeaderDevice(const DeviceUse& use) const {
    return use.device.host == cluster_.leader && use.device.device == 0;
  }

  uint64_t GroupsOf(size_t host) const {
    uint64_t groups = 0;
    for (const DeviceUse& use : plan_.devices) groups += use.device.host == host ? use.groups : 0;
    return groups;
  }

  bool AnyRemoteShare() const { return GroupsOf(cluster_.leader) < group_count_; }

  std::string TimeLine() const {
    const PlanTime& time = plan_.step_time;
    std::vector<std::string> parts = {absl::StrCat(FormatTime(time.leader_us), " on ", LeaderName(), "/",
                                                   cluster_.hosts[cluster_.leader].devices.front().name,
                                                   " alone")};
    for (const GroupKind kind : {GroupKind::kHeads, GroupKind::kNeurons, GroupKind::kOutput}) {
      if (CountOf(kind) == 0) continue;
      const std::string us = FormatTime(time.kind_us[static_cast<size_t>(kind)]);
      parts.push_back(kind == GroupKind::kOutput
                          ? absl::StrCat(us, " in the output head")
                          : absl::StrCat(us,
                                         kind == GroupKind::kHeads ? " in the attention"
                                                                   : " in the feed-forward networks",
                                         " of ", FormatCount(SectionsOf(kind), "layer")));
    }
    std::string line = absl::StrCat(StepSentence(plan_), ": ", JoinWithAnd(parts));
    if (time.link_us > 0) absl::StrAppend(&line, ", of which ", FormatTime(time.link_us), " wait for links");
    if (time.round_trips > 0) absl::StrAppend(&line, "; ", FormatCount(time.round_trips, "round trip"));
    if (time.round_trips > 0 && time.link_us == 0) absl::StrAppend(&line, ", all hidden behind local work");
    return line + ".";
  }

  uint64_t SectionsOf(GroupKind kind) const {
    return static_cast<uint64_t>(std::count_if(model_.sections.begin(), model_.sections.end(),
                                               [kind](const Section& s) { return s.name.kind == kind; }));
  }

  // Groups of a kind.
  uint64_t CountOf(GroupKind kind) const {
    uint64_t count = 0;
    for (const Section& section : model_.sections)
      count += section.name.kind == kind ? section.groups.size() : 0;
    return count;
  }

  // "50 % of the neurons and 25 % of the attention".
  std::string GroupsIn(const DeviceUse& use) const {
    std::vector<std::string> parts;
    for (const auto& [kind, name] :
         {std::pair{GroupKind::kNeurons, "neurons"}, std::pair{GroupKind::kHeads, "attention"},
          std::pair{GroupKind::kOutput, "output head"}}) {
      if (use.kind_groups[static_cast<size_t>(kind)] == 0) continue;
      const double share = static_cast<double>(use.kind_groups[static_cast<size_t>(kind)]) /
                           static_cast<double>(CountOf(kind));
      parts.push_back(absl::StrFormat("%.0f %% of the %s", 100 * share, name));
    }
    return parts.empty() ? "nothing else" : JoinWithAnd(parts);
  }

  // Whether some group that is elsewhere would fit no more.
  bool IsFull(const DeviceUse& use) const {
    if (DeviceOf(use).kind == DeviceKind::kDisk) return false;
    uint64_t smallest = UINT64_MAX;
    for (size_t i = 0; i < plan_.assignment.size(); ++i) {
      for (size_t g = 0; g < plan_.assignment[i].size(); ++g) {
        if (plan_.devices[plan_.assignment[i][g]].device == use.device) continue;
        smallest = std::min(smallest, model_.sections[i].groups[g].memory_bytes());
      }
    }
    return smallest != UINT64_MAX && use.memory_budget_bytes - use.memory_bytes < smallest;
  }

  static uint64_t NeuronGroupsOf(const DeviceUse& use) {
    return use.kind_groups[static_cast<size_t>(GroupKind::kNeurons)];
  }

  // Of its neuron groups, of which there are some.
  double MeanFrequency(const DeviceUse& use) const {
    double sum = 0;
    for (size_t i = 0; i < plan_.assignment.size(); ++i) {
      for (size_t g = 0; g < plan_.assignment[i].size(); ++g) {
        if (model_.sections[i].name.kind != GroupKind::kNeurons) continue;
        if (plan_.devices[plan_.assignment[i][g]].device == use.device)
          sum += model_.sections[i].groups[g].frequency;
      }
    }
    return sum / static_cast<double>(NeuronGroupsOf(use));
  }

  bool HasFrequencies() const {
    for (const Section& section : model_.sections) {
      for (const Group& group : section.groups) {
        if (group.frequency < 1) return true;
      }
    }
    return false;
  }

  std::string DeviceLine(const DeviceUse& use) const {
    const DeviceKind kind = DeviceOf(use).kind;
    std::string line = absl::StrFormat("%s (%s) holds %s ", NameOf(use), DeviceKindName(kind), GroupsIn(use));
    if (kind == DeviceKind::kDisk) {
      absl::StrAppend(&line, "that memory does not, and takes ", FormatBytes(use.memory_bytes),
                      " of it for those that are read often");
    } else {
      absl::StrAppend(&line, "in ", FormatBytes(use.memory_bytes), " of the ",
                      FormatBytes(use.memory_budget_bytes), " it offers");
    }
    if (IsLeaderDevice(use) && model_.leader_memory_bytes > 0) {
      absl::StrAppend(&line, " (", FormatBytes(model_.leader_memory_bytes), " of it for leading)");
    }
    if (NeuronGroupsOf(use) > 0 && HasFrequencies()) {
      absl::StrAppend(
          &line, absl::StrFormat("; a %s needs %.1f %% of its neurons", noun_, 100 * MeanFrequency(use)));
    }
    if (IsFull(use)) absl::StrAppend(&line, "; its memory is full");
    return line + ".";
  }

  std::string Difference(double us, double than_us) const {
    if (std::abs(us - than_us) < 0.05) return "no time";
    return FormatTime(std::abs(us - than_us));
  }

  std::string ForcedLine() const {
    const double unforced_us = *comparisons_.unforced_us;
    const bool faster = plan_.step_time.total_us < unforced_us;
    return absl::StrCat("Every host takes part because that was asked for: otherwise a ", noun_,
                        " would take ", FormatTime(unforced_us), ", ",
                        Difference(plan_.step_time.total_us, unforced_us), faster ? " more." : " less.");
  }

  std::string NoMemoryLine() const {
    const char* const work = plan_.objective.kind == ObjectiveKind::kPrompt ? "reading" : "generation";
    const double slower_us = plan_.step_time.total_us - comparisons_.alone_with_memory_us;
    const bool on_disk = UsesDisk(cluster_, plan_);
    const std::string needed = absl::StrCat("The model needs ", FormatBytes(GroupBytes(model_)));
    std::string line = on_disk ? absl::StrCat(needed, ", more than memory has: some neurons stay on a disk")
                               : absl::StrCat(needed, " and host ", LeaderName(), " has ",
                                              FormatBytes(comparisons_.leader_host_bytes),
                                              " for it: other hosts have to help");
    if (slower_us > 0) {
      absl::StrAppend(&line, on_disk ? ", and " : " although ", work, " is ", FormatTime(slower_us), " per ",
                      noun_, " slower than host ", LeaderName(), " would be with enough memory (",
                      FormatTime(comparisons_.alone_with_memory_us), ")");
    } else {
      absl::StrAppend(&line, ", and ", work, " is ",
                      Difference(plan_.step_time.total_us, comparisons_.alone_with_memory_us), " per ", noun_,
                      " faster than host ", LeaderName(), " would be with enough memory");
    }
    return line + ".";
  }

  std::string SavingLine() const {
    std::vector<std::string> helpers;
    for (size_t h = 0; h < cluster_.hosts.size(); ++h) {
      if (h != cluster_.leader && GroupsOf(h) > 0) helpers.push_back(cluster_.hosts[h].name);
    }
    const bool several = helpers.size() > 1;
    return absl::StrCat(several ? "Hosts " : "Host ", JoinWithAnd(helpers), several ? " save " : " saves ",
                        Difference(*comparisons_.alone_us, plan_.step_time.total_us), " per ", noun_,
                        ": host ", LeaderName(), " alone would take ", FormatTime(*comparisons_.alone_us),
                        ".");
  }

  // The section in which a host would help most: where the others take longest.
  size_t SlowestSection() const {
    const auto& sections = plan_.step_time.sections;
    return static_cast<size_t>(
        std::max_element(sections.begin(), sections.end(),
                         [](const SectionTime& a, const SectionTime& b) { return a.total_us < b.total_us; }) -
        sections.begin());
  }

  std::string UnusedHostLine(size_t h) const {
    const Host& host = cluster_.hosts[h];
    const std::string start = absl::StrCat("Host ", host.name, " gets nothing: ");
    if (!comparisons_.with_host_us[h]) return start + "it offers no memory for even one group.";
    const double with_us = *comparisons_.with_host_us[h];
    const double now_us = plan_.step_time.total_us;
    if (with_us < now_us) {
      return absl::StrFormat(
          "%sit would save %.1f %% of a %s's time (%s instead of %s), and a host is used where it saves "
          "%.0f %%.",
          start, 100 * (1 - with_us / now_us), noun_, FormatTime(with_us), FormatTime(now_us),
          100 * comparisons_.margin);
    }
    const size_t section = SlowestSection();
    const double section_us = plan_.step_time.sections[section].total_us;
    const double link_us = LinkUs(cluster_, h, model_.sections[section]);
    if (link_us >= section_us) {
      return absl::StrCat(start, "sending to it and back takes ", FormatTime(link_us), " for each of a ",
                          noun_, "'s ", plan_.step_time.sections.size(), " steps, more than the ",
                          FormatTime(section_us), " that a step takes without it.");
    }
    return absl::StrCat(start, "with even one group of each step there a ", noun_, " would take ",
                        FormatTime(with_us), " instead of ", FormatTime(now_us),
                        " (sending there and back takes ", FormatTime(link_us), " each).");
  }

  std::string UnusedDeviceLine(const DeviceUse& use) const {
    if (IsFull(use)) {
      return absl::StrCat("Device ", NameOf(use), " gets nothing: the ",
                          FormatBytes(use.memory_budget_bytes - use.memory_bytes),
                          " it offers hold no group.");
    }
    if (DeviceOf(use).kind == DeviceKind::kDisk)
      return absl::StrCat("Device ", NameOf(use), " gets nothing: the model is in memory.");
    return absl::StrCat("Device ", NameOf(use),
                        " gets nothing: the other devices finish each step sooner without it.");
  }

  const Cluster& cluster_;
  const Model& model_;
  const Plan& plan_;
  const Comparisons& comparisons_;
  const std::string noun_ = NameOfStep(plan_.objective);
  uint64_t group_count_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace

std::string NameOfStep(const Objective& objective) {
  switch (objective.kind) {
    case ObjectiveKind::kLatency:
      break;
    case ObjectiveKind::kThroughput:
      return "round";
    case ObjectiveKind::kPrompt:
      return "chunk";
  }
  return "token";
}

std::string StepSentence(const Plan& plan) {
  const Expectation expected{plan.objective, plan.step_time.total_us};
  const std::string time = FormatTime(expected.step_us), speed = SpeedText(expected);
  switch (plan.objective.kind) {
    case ObjectiveKind::kLatency:
      break;
    case ObjectiveKind::kThroughput:
      return absl::StrCat("The plan is for ", plan.objective.rows,
                          " streams at a time: a round of one token for each is expected to take ", time,
                          " (", speed, " together)");
    case ObjectiveKind::kPrompt:
      return absl::StrCat("The plan is for reading prompts: a chunk of ", plan.objective.rows,
                          " tokens is expected to take ", time, " (", speed, ")");
  }
  return absl::StrCat("One token is expected to take ", time, " (", speed, ")");
}

std::string OtherStepsSentence(const Plan& plan) {
  std::vector<std::string> parts;
  for (const Expectation& expected : plan.expected) {
    const std::string speed = SpeedText(expected);
    if (expected.objective.kind == plan.objective.kind) continue;
    switch (expected.objective.kind) {
      case ObjectiveKind::kLatency:
        parts.push_back(absl::StrCat(speed, " for a single stream"));
        break;
      case ObjectiveKind::kThroughput:
        parts.push_back(absl::StrCat(speed, " for ", expected.objective.rows, " streams together"));
        break;
      case ObjectiveKind::kPrompt:
        parts.push_back(absl::StrCat(speed, " for a prompt that is read"));
        break;
    }
  }
  return absl::StrCat("Expected of it besides: ", JoinWithAnd(parts), ".");
}

std::vector<std::string> Explain(const Cluster& cluster, const Model& model, const Plan& plan,
                                 const Comparisons& comparisons) {
  return Explainer(cluster, model, plan, comparisons).Run();
}

}  // namespace hearth::placement
