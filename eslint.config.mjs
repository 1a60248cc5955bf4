import effect from "@effect/eslint-plugin"
import tseslint from "typescript-eslint"

const noBarrels = {
  paths: [
    { name: "effect", message: "Import the module (\"effect/Effect\"): barrels cost start-up time." },
    { name: "@effect/platform", message: "Import the module (\"@effect/platform/HttpApi\")." },
    { name: "@effect/platform-node", message: "Import the module (\"@effect/platform-node/NodeRuntime\")." },
    { name: "@effect/sql", message: "Import the module (\"@effect/sql/SqlClient\")." },
    { name: "@effect/sql-sqlite-node", message: "Import the module (\"@effect/sql-sqlite-node/SqliteClient\")." },
    { name: "@effect/cli", message: "Import the module (\"@effect/cli/Command\")." }
  ]
}

export default tseslint.config(
  { ignores: ["**/node_modules", "**/dist", "**/.cache", "**/.holdfast"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strict, ...effect.configs.dprint],
    plugins: { "@effect": effect },
    rules: {
      "@effect/dprint": [
        "error",
        {
          config: {
            indentWidth: 2,
            lineWidth: 120,
            newLineKind: "lf",
            semiColons: "asi",
            quoteStyle: "alwaysDouble",
            trailingCommas: "never",
            operatorPosition: "maintain",
            "arrowFunction.useParentheses": "force"
          }
        }
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-extraneous-class": "off",
      "@typescript-eslint/no-empty-object-type": "off",
      "@typescript-eslint/unified-signatures": "off",
      "@typescript-eslint/no-dynamic-delete": "off",
      "@typescript-eslint/no-invalid-void-type": "off",
      "object-shorthand": "error",
      "no-console": "error",
      eqeqeq: "error"
    }
  },
  {
    files: ["packages/*/src/**/*.ts", "services/*/src/**/*.ts"],
    rules: { "no-restricted-imports": ["error", noBarrels] }
  },
  {
    files: ["packages/*/bench/**/*.ts"],
    rules: { "no-console": "off" }
  }
)
