from iotsphere.localstack.debian import archives_in, source_entry

LISTING = """\
'https://example.org/tools/debian/dists/bookworm/InRelease' example.org_InRelease 0
'http://mirror.example/debian/dists/bookworm/InRelease' mirror_InRelease 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror_updates_InRelease 0
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' security_InRelease 0
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror_Packages 0
"""


def test_the_archive_with_most_suites_is_asked_first() -> None:
    assert archives_in(LISTING) == [
        "http://mirror.example/debian",
        "https://example.org/tools/debian",
        "http://mirror.example/debian-security",
    ]


def test_no_configured_archive_gives_none() -> None:
    assert archives_in("Reading package lists...\n") == []


def test_every_debian_takes_the_suite_that_has_the_packages() -> None:
    entry = source_entry("http://mirror.example/debian", {"ID": "debian", "VERSION_CODENAME": "bookworm"})

    assert "URIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n" in entry


def test_a_relative_of_debian_keeps_its_own_suite() -> None:
    entry = source_entry("http://mirror.example/ubuntu", {"ID": "ubuntu", "VERSION_CODENAME": "plucky"})

    assert "Suites: plucky\nComponents: main universe\n" in entry
