//! ALTER TABLE … ROW LEVEL SECURITY, and CREATE, ALTER and DROP POLICY.

use super::statement::{Piece, Renderer, Statement};
use crate::model::{PUBLIC, RowPolicy, TableName};
use crate::plan::Securing;

impl Renderer<'_> {
    pub(super) fn secure_table(&self, table: &TableName, how: &Securing) -> Vec<Statement> {
        let on = format!("{}.{}", self.name(&table.schema), self.name(&table.name));
        let alter = |what: &str| vec![Statement::new(format!("ALTER TABLE {on} {what} ROW LEVEL SECURITY"))];
        let drop = |name: &str| Statement::new(format!("DROP POLICY {} ON {on}", self.name(name)));
        match how {
            Securing::Enable => alter("ENABLE"),
            Securing::Disable => alter("DISABLE"),
            Securing::Force => alter("FORCE"),
            Securing::NoForce => alter("NO FORCE"),
            Securing::CreatePolicy(policy) => vec![self.create_policy(policy, &on)],
            Securing::AlterPolicy(policy) => {
                let head = format!("ALTER POLICY {} ON {on} TO {}", self.name(&policy.name), self.policy_roles(policy));
                vec![with_expressions(head, policy)]
            }
            Securing::ReplacePolicy(policy) => vec![drop(&policy.name), self.create_policy(policy, &on)],
            Securing::DropPolicy(name) => vec![drop(name)],
        }
    }

    fn create_policy(&self, policy: &RowPolicy, on: &str) -> Statement {
        let kind = if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" };
        let (name, command) = (self.name(&policy.name), policy.command.keyword());
        let head = format!("CREATE POLICY {name} ON {on} AS {kind} FOR {command} TO {}", self.policy_roles(policy));
        with_expressions(head, policy)
    }

    fn policy_roles(&self, policy: &RowPolicy) -> String {
        let roles = policy.roles.iter();
        let names = roles.map(|role| if role == PUBLIC { "PUBLIC".to_owned() } else { self.name(role) });
        names.collect::<Vec<_>>().join(", ")
    }
}

fn with_expressions(head: String, policy: &RowPolicy) -> Statement {
    let mut statement = Statement::new(head);
    for (clause, expression) in [(" USING (", &policy.using), (" WITH CHECK (", &policy.check)] {
        if let Some(expression) = expression {
            statement.pieces.push(Piece::Sql(clause.to_owned()));
            statement.pieces.push(Piece::Expression(expression.clone()));
            statement.pieces.push(Piece::Sql(")".to_owned()));
        }
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::model::PolicyCommand;
    use crate::sql::statement::Style;

    #[test]
    fn names_are_quoted_and_expressions_stand_inside_of_parentheses() {
        let catalog = Catalog::default();
        let renderer = Renderer { catalog: &catalog, reassign_owned_to: "", style: Style::Exact };
        let table = TableName { database: "shop".into(), schema: "a.b".into(), name: "o\"r".into() };
        let sql = |how: Securing| {
            let statements = renderer.secure_table(&table, &how);
            statements.iter().map(|it| it.text(|_, _| ())).collect::<Vec<_>>()
        };
        let policy = RowPolicy {
            name: "own\"; --".into(),
            command: PolicyCommand::Update,
            permissive: false,
            roles: ["r\"1".to_owned(), "Public".to_owned()].into(),
            using: Some("a = b".into()),
            check: Some("true".into()),
            path: String::new(),
        };
        let on = r#""a.b"."o""r""#;
        assert_eq!(sql(Securing::NoForce), [format!("ALTER TABLE {on} NO FORCE ROW LEVEL SECURITY")]);
        let made = format!(
            r#"CREATE POLICY "own""; --" ON {on} AS RESTRICTIVE FOR UPDATE TO "Public", "r""1" USING (a = b) WITH CHECK (true)"#
        );
        assert_eq!(sql(Securing::CreatePolicy(policy.clone())), [made.as_str()]);
        let dropped = format!(r#"DROP POLICY "own""; --" ON {on}"#);
        assert_eq!(sql(Securing::ReplacePolicy(policy.clone())), [dropped, made]);
        let everybody = RowPolicy { roles: [PUBLIC.to_owned()].into(), check: None, ..policy };
        assert_eq!(
            sql(Securing::AlterPolicy(everybody)),
            [format!(r#"ALTER POLICY "own""; --" ON {on} TO PUBLIC USING (a = b)"#)]
        );
    }

    #[test]
    fn only_what_holds_an_expression_is_sent_alone() {
        let catalog = Catalog::default();
        let renderer = Renderer { catalog: &catalog, reassign_owned_to: "", style: Style::Exact };
        let table = TableName { database: "shop".into(), schema: "app".into(), name: "orders".into() };
        assert!(!renderer.secure_table(&table, &Securing::Enable)[0].has_expression());
        let policy = RowPolicy {
            name: "p".into(),
            command: PolicyCommand::All,
            permissive: true,
            roles: [PUBLIC.to_owned()].into(),
            using: Some("true".into()),
            check: None,
            path: String::new(),
        };
        assert!(renderer.secure_table(&table, &Securing::CreatePolicy(policy))[0].has_expression());
    }
}
