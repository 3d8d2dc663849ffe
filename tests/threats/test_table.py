"""Which test injects which threat of RELIABILITY.md? Each has one, or a written reason."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent

TABLE: dict[int, list[str] | str] = {
    1: ["web/test_access.py::test_every_cell_is_what_the_table_says"],
    2: ["web/test_rate_limits.py::test_after_five_failures_an_account_is_closed_to_that_address"],
    3: ["web/test_rate_limits.py::test_an_attacker_at_one_address_locks_nobody_out_elsewhere"],
    4: ["web/test_rate_limits.py::test_an_address_that_the_caller_writes_down_is_not_believed"],
    5: [
        "web/test_accounts.py::test_a_wrong_password_and_an_unknown_address_read_the_same",
        "web/test_accounts.py::test_whether_somebody_is_here_is_not_to_be_read",
    ],
    6: ["web/test_sessions.py::test_a_planted_session_is_another_one_after_the_sign_in"],
    7: [
        "web/test_sessions.py::test_in_production_the_cookies_are_bound_to_the_host_and_to_tls",
        "web/test_sessions.py::test_activity_keeps_a_session_and_twelve_hours_end_it_nevertheless",
        "web/test_step_up.py::test_what_the_table_names_is_not_done_with_an_old_sign_in",
    ],
    8: ["web/test_sessions.py::test_a_live_session_ends_with_what_it_rests_on"],
    9: [
        "web/test_sso.py::test_a_second_account_there_with_the_same_address_does_not_get_in",
        "web/test_sso.py::test_somebody_who_is_not_here_does_not_get_in_and_is_not_added",
    ],
    10: ["web/test_sso.py::test_an_old_forged_or_missing_moment_is_no_fresh_sign_in"],
    11: ["web/test_factors.py::test_the_same_code_twice_is_refused_as_long_as_it_would_do"],
    12: [
        "web/test_headers.py::test_what_is_sent_without_the_forms_token_is_refused",
        "web/test_headers.py::test_no_view_is_exempt_from_the_forms_token",
    ],
    13: ["threats/test_code.py::test_visits_leave_everything_as_it_was"],
    14: [
        "faults/test_people_faults.py::test_row_54_edited_token_sends_nothing",
        "faults/test_people_faults.py::test_row_54_preview_that_was_edited_in_the_database_sends_nothing",
    ],
    15: ["domain/test_changes.py::test_the_matrix_has_six_times_six_cells"],
    16: ["models/test_guards.py::test_no_way_round_the_guards_changes_the_record"],
    17: ["models/test_guards.py::test_no_way_round_the_guards_changes_the_record"],
    19: ["models/test_guards.py::test_the_role_of_the_portal_can_append_and_nothing_else"],
    20: ["domain/test_chain.py::test_a_tail_that_was_cut_off_is_told_by_its_checkpoint"],
    21: ["services/test_integrity.py::test_a_log_that_regrew_is_told_by_its_anchor"],
    22: ["models/test_migrations.py::test_the_guards_are_there_after_migrating_from_every_past_migration"],
    23: [
        "services/test_connections.py::test_swapped_keys_stop_their_organizations_and_no_other",
        "threats/test_swapped.py::test_keys_that_were_swapped_are_refused_on_the_record_and_asked_with_nowhere",
    ],
    24: ["threats/test_code.py::test_every_requirement_is_locked_by_its_hash"],
    25: ["threats/test_code.py::test_every_entry_says_who_from_where_with_what_and_in_which_session"],
    26: [
        "test_log_lines.py::test_any_text_is_one_line_that_can_be_printed",
        "crashes/test_hostile_requests.py::test_each_event_is_one_line_of_the_servers_log",
    ],
    27: ["web/test_canaries.py::test_keys_are_on_no_page_in_no_row_and_in_no_log_line"],
    28: ["web/test_error_reports.py::test_a_forced_error_tells_no_secret_anywhere"],
    29: ["domain/test_organizations.py::test_no_accepted_key_can_break_a_header"],
    30: ["web/test_canaries.py::test_keys_are_on_no_page_of_any_role"],
    31: [
        "threats/test_code.py::test_a_key_in_an_address_reaches_no_page_and_no_log_of_another_site",
        "crashes/test_hostile_requests.py::test_each_event_is_one_line_of_the_servers_log",
    ],
    32: ["test_security_checks.py::test_a_right_installation_is_clean_and_a_wrong_one_is_not_served"],
    33: ["web/test_error_reports.py::test_a_forced_error_tells_no_secret_anywhere"],
    34: ["hamr_client/test_client.py::test_redirect_is_never_followed"],
    35: ["web/test_headers.py::test_every_answer_carries_the_headers_and_no_page_holds_anything_inline"],
    36: ["web/test_errors.py::test_an_absent_database_is_named_and_what_to_do_without_the_portal"],
    37: ["web/test_access.py::test_every_cell_is_what_the_table_says"],
    38: ["web/test_access.py::test_every_cell_is_what_the_table_says"],
    39: [
        "faults/test_people_faults.py::test_row_58_nobody_approves_a_change_of_their_own",
        "faults/test_people_faults.py::test_row_58_database_refuses_an_approval_of_ones_own",
    ],
    40: [
        "web/test_people.py::test_each_button_needs_a_fresh_sign_in",
        "services/test_announcements.py::test_each_of_these_is_told_on_pages_and_in_one_mail_to_all_admins",
    ],
    41: ["threats/test_code.py::test_a_site_is_chosen_and_never_typed"],
    42: [
        "threats/test_hostile_text.py::test_no_text_from_outside_becomes_a_script",
        "threats/test_hostile_text.py::test_what_is_typed_comes_back_as_text",
        "web/test_headers.py::test_no_template_says_that_a_text_is_safe",
    ],
    43: ["web/test_headers.py::test_every_answer_carries_the_headers_and_no_page_holds_anything_inline"],
    44: ["web/test_headers.py::test_no_page_leads_to_another_host"],
    45: [
        "web/test_headers.py::test_an_unknown_host_is_refused",
        "test_security_checks.py::test_what_is_wrong_is_told_by_its_id_and_says_what_to_do",
    ],
    46: ["services/test_exports.py::test_no_text_begins_a_formula_and_each_can_be_had_back"],
    47: [
        "crashes/test_hostile_requests.py::test_what_is_larger_than_any_form_is_refused_and_nothing_fails",
        "web/test_headers.py::test_error_pages_carry_the_headers_and_hold_nothing_inline",
    ],
    48: ["services/test_readings.py::test_a_hundred_refreshes_at_once_make_one_request_a_side"],
    49: [
        "services/test_sessions.py::test_ten_thousand_failures_from_as_many_addresses_make_few_entries_and_are_all_counted"
    ],
    50: ["threats/test_code.py::test_what_is_compared_with_a_secret_is_compared_in_constant_time"],
    51: ["threats/test_code.py::test_nothing_is_read_in_a_way_that_runs_it"],
}
"""RELIABILITY.md has no number 18 among its threats."""


def test_each_threat_has_a_test_or_a_reason() -> None:
    assert sorted(TABLE) == [number for number in range(1, 52) if number != 18]
    assert [number for number, shown in TABLE.items() if not shown] == []


def test_each_test_that_is_named_is_there() -> None:
    named = {name for shown in TABLE.values() if isinstance(shown, list) for name in shown}
    missing = []
    for name in sorted(named):
        file, _, test = name.partition("::")
        if not re.search(rf"^def {test}\(", (TESTS / file).read_text(), re.MULTILINE):
            missing.append(name)

    assert missing == []
