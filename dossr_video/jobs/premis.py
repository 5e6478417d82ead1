"""The report of a job as PREMIS 3 XML, which archives keep: two objects, what was done and checked, and by what."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree as ET

from dossr_video.jobs.report import FileRecord, Report
from dossr_video.names import shown

NAMESPACE = "http://www.loc.gov/premis/v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA = "http://www.loc.gov/standards/premis/v3/premis.xsd"
VOCABULARY = "http://id.loc.gov/vocabulary/preservation"
TERMS = {"modification": "eventType/mod", "validation": "eventType/val", "software": "agentType/sof"}
"""Of the Library of Congress's vocabularies: the addresses of the words that are used."""


def premis_of(report: Report) -> bytes:
    """The XML file: source and result with size and SHA-256, the run, its proof, this program."""
    ET.register_namespace("premis", NAMESPACE)
    ET.register_namespace("xsi", XSI)
    root = ET.Element(_name("premis"), {"version": "3.0", f"{{{XSI}}}schemaLocation": f"{NAMESPACE} {SCHEMA}"})
    run, proof = _identity(report, "run"), _identity(report, "proof")
    agent = f"dossr-video {report.versions['dossr-video']}"
    given = (report.source, *report.tracks)
    for file in given:
        _object(root, file)
    result = _object(root, report.target)
    for file in given:
        _relation(result, file, run)
    objects = [*(("source", file) for file in given), ("outcome", report.target)]
    _event(
        root,
        run,
        "modification",
        report.started,
        detail=f"restored and enlarged by a model: {report.settings.describe_model()}, weights "
        f"{report.settings.model.weights}; {report.settings.describe()}",
        outcome="success",
        notes=[*report.processing, *(f"not kept: {loss}" for loss in report.lost), *report.warnings],
        agent=agent,
        objects=objects,
    )
    _event(
        root,
        proof,
        "validation",
        report.finished,
        detail="the result was read back and held against its source",
        outcome="pass" if report.proof.passed else "fail",
        notes=[f"{check.name}: {check.found}{'' if check.passed else ' (failed)'}" for check in report.proof.checks],
        agent=agent,
        objects=objects,
    )
    _agent(root, agent, report)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, _name(name))
    element.text = None if text is None else shown(text)
    if text in TERMS:
        element.set("valueURI", f"{VOCABULARY}/{TERMS[text]}")
    return element


def _identified(parent: ET.Element, name: str, kind: str, value: str) -> ET.Element:
    """`objectIdentifier` and the like: a type and a value."""
    element = _add(parent, name)
    _add(element, f"{name}Type", kind)
    _add(element, f"{name}Value", value)
    return element


def _object(root: ET.Element, file: FileRecord) -> ET.Element:
    element = _add(root, "object")
    element.set(f"{{{XSI}}}type", "premis:file")
    _identified(element, "objectIdentifier", "SHA-256", file.sha256)
    characteristics = _add(element, "objectCharacteristics")
    fixity = _add(characteristics, "fixity")
    _add(fixity, "messageDigestAlgorithm", "SHA-256")
    _add(fixity, "messageDigest", file.sha256)
    _add(characteristics, "size", str(file.size))
    kind = _add(characteristics, "format")
    _add(_add(kind, "formatDesignation"), "formatName", file.container)
    for stream in file.streams:
        _add(kind, "formatNote", stream)
    _add(element, "originalName", file.path)
    return element


def _relation(element: ET.Element, source: FileRecord, run: str) -> None:
    relation = _add(element, "relationship")
    _add(relation, "relationshipType", "derivation")
    _add(relation, "relationshipSubType", "has source")
    _identified(relation, "relatedObjectIdentifier", "SHA-256", source.sha256)
    _identified(relation, "relatedEventIdentifier", "UUID", run)


def _event(
    root: ET.Element,
    identity: str,
    kind: str,
    time: str,
    *,
    detail: str,
    outcome: str,
    notes: list[str],
    agent: str,
    objects: list[tuple[str, FileRecord]],
) -> None:
    event = _add(root, "event")
    _identified(event, "eventIdentifier", "UUID", identity)
    _add(event, "eventType", kind)
    _add(event, "eventDateTime", time)
    _add(_add(event, "eventDetailInformation"), "eventDetail", detail)
    information = _add(event, "eventOutcomeInformation")
    _add(information, "eventOutcome", outcome)
    for note in notes:
        _add(_add(information, "eventOutcomeDetail"), "eventOutcomeDetailNote", note)
    _add(
        _identified(event, "linkingAgentIdentifier", "name and version", agent), "linkingAgentRole", "executing program"
    )
    for role, file in objects:
        _add(_identified(event, "linkingObjectIdentifier", "SHA-256", file.sha256), "linkingObjectRole", role)


def _agent(root: ET.Element, agent: str, report: Report) -> None:
    element = _add(root, "agent")
    _identified(element, "agentIdentifier", "name and version", agent)
    _add(element, "agentName", "dossr-video")
    _add(element, "agentType", "software")
    _add(element, "agentVersion", report.versions["dossr-video"])
    for name, value in (*report.versions.items(), *report.machine.items()):
        if name != "dossr-video":
            _add(element, "agentNote", f"{name} {value}")


def _identity(report: Report, what: str) -> str:
    """The same for the same run, other than that of any other."""
    return str(uuid5(NAMESPACE_URL, f"dossr-video:{what}:{report.target.sha256}:{report.started}"))
