@service.postgres.isolated
Feature: A namespace for a feature

  Scenario: first
    Given 1 note in postgres

  @service.postgres.isolated
  Scenario: a namespace of its own inside
    Given 1 note in postgres

  @service.redis @service.redis.isolated
  Scenario: both
    Then there is a redis
