//! What the shipped binaries are made of: CycloneDX 1.5, from cargo's own metadata.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::process;

/// What is shipped: the driver and the tool.
const ROOTS: [&str; 2] = ["saker", "loader"];

/// The bill of materials for a target.
pub fn make(workspace: &Workspace, target: &str) -> Result<Value, Failure> {
    let mut command = workspace.cargo();
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]);
    let text = process::output(&mut command)?;
    let metadata: Metadata = serde_json::from_str(&text)
        .map_err(|error| Failure::Other(format!("cargo metadata: {error}")))?;
    let lock = workspace.root.join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).map_err(Failure::file(&lock))?;
    Ok(bill(&metadata, &checksums(&lock)))
}

/// The part of `cargo metadata` that is used.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    id: String,
    license: Option<String>,
    source: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The checksums of `Cargo.lock` by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    let (mut name, mut version) = (String::new(), String::new());
    for line in lock.lines() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"').to_owned();
        match key {
            "name" => name = value,
            "version" => version = value,
            "checksum" => {
                found.insert((name.clone(), version.clone()), value);
            }
            _ => {}
        }
    }
    found
}

fn bill(metadata: &Metadata, checksums: &BTreeMap<(String, String), String>) -> Value {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let linked = |node: &Node| -> Vec<String> {
        // What is only needed to build or to test is not shipped.
        let linked = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|k| k.kind.is_none()));
        linked.map(|dep| dep.pkg.clone()).collect()
    };

    let is_root =
        |package: &&Package| package.source.is_none() && ROOTS.contains(&package.name.as_str());
    let roots: Vec<String> =
        metadata.packages.iter().filter(is_root).map(|package| package.id.clone()).collect();
    let mut reached: BTreeSet<String> = roots.iter().cloned().collect();
    let mut queue: VecDeque<String> = roots.into();
    while let Some(id) = queue.pop_front() {
        for next in nodes.get(id.as_str()).map(|node| linked(node)).unwrap_or_default() {
            if reached.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }

    let reached: Vec<&Package> =
        reached.iter().filter_map(|id| packages.get(id.as_str()).copied()).collect();
    let components = reached.iter().map(|package| {
        let key = (package.name.clone(), package.version.clone());
        let hashes = checksums.get(&key).map(|sum| json!([{ "alg": "SHA-256", "content": sum }]));
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "purl": reference(package),
            "scope": "required",
        });
        if let Some(fields) = component.as_object_mut() {
            if let Some(licence) = &package.license {
                fields.insert(
                    "licenses".into(),
                    json!([{ "expression": licence.replace('/', " OR ") }]),
                );
            }
            if let Some(description) = &package.description {
                fields.insert("description".into(), json!(description.trim()));
            }
            if let Some(hashes) = hashes {
                fields.insert("hashes".into(), hashes);
            }
        }
        component
    });
    let dependencies = reached.iter().map(|package| {
        let below = nodes.get(package.id.as_str()).map(|node| linked(node)).unwrap_or_default();
        let below: BTreeSet<String> = below
            .iter()
            .filter_map(|id| packages.get(id.as_str()).map(|package| reference(package)))
            .collect();
        json!({ "ref": reference(package), "dependsOn": below })
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "saker",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "components": components.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"name": "saker", "version": "0.1.0", "id": "s", "license": "MIT/Apache-2.0", "source": null, "description": null},
            {"name": "a", "version": "1.0.0", "id": "a", "license": "MIT", "source": "registry", "description": "an a"},
            {"name": "b", "version": "2.0.0", "id": "b", "license": null, "source": "registry", "description": null},
            {"name": "c", "version": "3.0.0", "id": "c", "license": null, "source": "registry", "description": null}
        ],
        "resolve": {"nodes": [
            {"id": "s", "deps": [{"pkg": "a", "dep_kinds": [{"kind": null}]}, {"pkg": "c", "dep_kinds": [{"kind": "build"}, {"kind": "dev"}]}]},
            {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": null}]}]},
            {"id": "b", "deps": []},
            {"id": "c", "deps": []}
        ]}
    }"#;

    fn made() -> Value {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n";
        bill(&serde_json::from_str(METADATA).unwrap(), &checksums(lock))
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_is_not() {
        let bill = made();
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "saker"]);
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@2.0.0"]));
    }

    #[test]
    fn licence_and_checksum_are_told_where_they_are_known() {
        let bill = made();
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "00ff");
        assert_eq!(bill["components"][1].get("hashes"), None);
        assert_eq!(bill["components"][2]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }
}
