"""PREMIS XML: its structure, and that it says what the report says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.jobs.report import Report

NAMESPACE = "{http://www.loc.gov/premis/v3}"
IDENTIFIER = {
    f"{name}Identifier": f"{name}IdentifierType {name}IdentifierValue" for name in ("object", "event", "agent")
}
# Children in their order, as the schema of PREMIS 3.0 gives them: `?` at most one, `+` one or more, `*` any number.
STRUCTURE = {
    **IDENTIFIER,
    "premis": "object* event* agent* rights*",
    "object": "objectIdentifier+ preservationLevel* significantProperties* objectCharacteristics+ originalName? "
    "storage* signatureInformation* environmentFunction* environmentDesignation* environmentRegistry* relationship*",
    "objectCharacteristics": "compositionLevel? fixity* size? format+ creatingApplication* inhibitors*",
    "fixity": "messageDigestAlgorithm messageDigest messageDigestOriginator?",
    "format": "formatDesignation? formatRegistry* formatNote*",
    "formatDesignation": "formatName formatVersion?",
    "relationship": "relationshipType relationshipSubType relatedObjectIdentifier+ relatedEventIdentifier*",
    "relatedObjectIdentifier": "relatedObjectIdentifierType relatedObjectIdentifierValue relatedObjectSequence?",
    "relatedEventIdentifier": "relatedEventIdentifierType relatedEventIdentifierValue relatedEventSequence?",
    "event": "eventIdentifier eventType eventDateTime eventDetailInformation* eventOutcomeInformation* "
    "linkingAgentIdentifier* linkingObjectIdentifier*",
    "eventDetailInformation": "eventDetail? eventDetailExtension*",
    "eventOutcomeInformation": "eventOutcome? eventOutcomeDetail*",
    "eventOutcomeDetail": "eventOutcomeDetailNote? eventOutcomeDetailExtension*",
    "linkingAgentIdentifier": "linkingAgentIdentifierType linkingAgentIdentifierValue linkingAgentRole*",
    "linkingObjectIdentifier": "linkingObjectIdentifierType linkingObjectIdentifierValue linkingObjectRole*",
    "agent": "agentIdentifier+ agentName* agentType? agentVersion? agentNote* agentExtension*",
}


@pytest.fixture(scope="module")
def made(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, ET.Element]:
    folder = tmp_path_factory.mktemp("premis")
    options = ["--model", "bicubic", "--scale", "2", "--speed", "ultrafast", "--duration", "0.5", "--quiet"]
    outputs = ["--json-report", folder / "out.json", "--premis", folder / "out.xml"]
    arguments = list(map(str, [clip, folder / "out.mkv", *options, *outputs]))
    CliRunner().invoke(app, arguments, standalone_mode=False, catch_exceptions=False)
    report = Report.model_validate_json((folder / "out.json").read_bytes())
    return report, ET.parse(folder / "out.xml").getroot()


def names(element: ET.Element) -> list[str]:
    return [child.tag.removeprefix(NAMESPACE) for child in element]


def test_every_element_has_the_children_that_it_may_have_in_their_order(made: tuple[Report, ET.Element]) -> None:
    _, root = made
    assert root.tag == f"{NAMESPACE}premis"
    assert root.get("version") == "3.0"
    for element in root.iter():
        assert element.tag.startswith(NAMESPACE)
        name = element.tag.removeprefix(NAMESPACE)
        pattern = "".join(re.sub(r"(\w+)([?*+]?)", r"(?:\1,)\2", part) for part in STRUCTURE.get(name, "").split())
        children = "".join(f"{child}," for child in names(element))
        assert re.fullmatch(pattern, children), f"{name}: {children}"
        assert bool(element.text and element.text.strip()) == (name not in STRUCTURE)


def test_digests_dates_and_checks_are_those_of_the_report(made: tuple[Report, ET.Element], clip: Path) -> None:
    report, root = made

    def texts(path: str) -> list[str | None]:
        return [found.text for found in root.findall("/".join(NAMESPACE + part for part in path.split("/")))]

    assert texts("object/objectCharacteristics/fixity/messageDigest") == [report.source.sha256, report.target.sha256]
    assert texts("object/objectIdentifier/objectIdentifierValue")[0] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert texts("object/objectCharacteristics/size") == [str(report.source.size), str(report.target.size)]
    assert texts("event/eventType") == ["modification", "validation"]
    assert texts("event/eventDateTime") == [report.started, report.finished]
    assert texts("event/eventOutcomeInformation/eventOutcome") == ["success", "pass"]
    notes = "\n".join(filter(None, texts("event/eventOutcomeInformation/eventOutcomeDetail/eventOutcomeDetailNote")))
    assert all(f"{check.name}: {check.found}" in notes for check in report.proof.checks)
    assert all(line in notes for line in report.processing)
    assert texts("agent/agentVersion") == [report.versions["dossr-video"]]
    assert texts("object/relationship/relatedObjectIdentifier/relatedObjectIdentifierValue") == [report.source.sha256]
    runs = texts("event/eventIdentifier/eventIdentifierValue")
    assert texts("object/relationship/relatedEventIdentifier/relatedEventIdentifierValue") == runs[:1]
