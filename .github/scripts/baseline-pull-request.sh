#!/usr/bin/env bash
# Opens a pull request with the baselines that a nightly wrote; without any change there is none.
#   baseline-pull-request.sh FOLDER    FOLDER holds a folder a model, the merged artifacts baseline-<Model>
# Uses REASON and what GitHub sets in every job; gh takes GH_TOKEN.
set -euo pipefail
shopt -s nullglob

folders=("$1"/*/)
if [ "${#folders[@]}" = 0 ]; then
  echo "::error::baselines were asked for, and no job uploaded one: see the models' jobs"
  exit 1
fi

for folder in "${folders[@]}"; do
  model=$(basename "$folder")
  if [ ! -f "model_configs/$model.yaml" ]; then
    echo "::error::a baseline of $model, of which there is no config"
    exit 1
  fi
  mkdir -p "baselines/$model"
  cp "$folder"*.json "baselines/$model/"
done

git add baselines
if git diff --cached --quiet; then
  echo "No baseline changed: no pull request." | tee -a "$GITHUB_STEP_SUMMARY"
  exit 0
fi

branch="baselines/$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT"
title="Baselines of nightly run $GITHUB_RUN_ID"
body="$RUNNER_TEMP/body.md"
{
  printf 'Reason given: %s\n\n' "$REASON"
  printf 'Written by %s/%s/actions/runs/%s, whose artifacts have the reports.\n\n' \
    "$GITHUB_SERVER_URL" "$GITHUB_REPOSITORY" "$GITHUB_RUN_ID"
  git diff --cached --stat=100 | sed 's/^/    /'
  printf '\nGitHub starts no checks for pull requests of a workflow: close and open it again to start them.\n'
} > "$body"

git switch --quiet --create "$branch"
git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  commit --quiet --message "$title" --message "$REASON"
git push --quiet origin "$branch"
gh pr create --base "$GITHUB_REF_NAME" --head "$branch" --title "$title" --body-file "$body" | tee -a "$GITHUB_STEP_SUMMARY"
