# From `cargo metadata` to CycloneDX 1.5.
def lines: split("\n") | map(split(" "));
# The older way to write "or".
def licence: if . == null then [] else [{expression: gsub(" */ *"; " OR ")}] end;
def words: gsub("\\s+"; " ") | sub("^ "; "") | sub(" $"; "");
def purl: "pkg:cargo/\(.name)@\(.version | gsub("\\+"; "%2B"))";

($digests | lines | map({key: "\(.[0]) \(.[1])", value: .[2]}) | from_entries) as $sha256
| ($built | lines | map({key: "\(.[0]) \(.[1])", value: true}) | from_entries) as $built
| [.packages[] | select($built["\(.name) v\(.version)"])] as $all
| INDEX($all[]; .id) as $packages
| def component: {"bom-ref": purl, purl: purl, type: "library", name, version, licenses: (.license | licence)}
    + (if .description then {description: (.description | words)} else {} end)
    + ($sha256["\(.name) \(.version)"] | if . then {hashes: [{alg: "SHA-256", content: .}]} else {} end)
    + (if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end);
  # What tests alone need is no part of the program.
  def needs: [.deps[] | select(any(.dep_kinds[]; .kind != "dev")) | $packages[.pkg] | values | purl] | unique;
  {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {
      timestamp: ($epoch | todate),
      component: ($all[] | select(.name == "dataverse-backup") | component | .type = "application")
    },
    components: ([$all[] | select(.name != "dataverse-backup") | component] | sort_by(.purl)),
    dependencies: ([.resolve.nodes[] | select($packages[.id]) | {ref: ($packages[.id] | purl), dependsOn: needs}] | sort_by(.ref))
  }
